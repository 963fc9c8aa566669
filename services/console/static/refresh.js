"use strict";
// A part of a page that is read again every few seconds, as long as somebody looks at it.
(() => {
  const part = document.getElementById("fresh");
  setInterval(async () => {
    if (document.hidden || part.contains(document.activeElement)) return;
    try {
      const answer = await fetch(location.href, { headers: { Accept: "text/html" } });
      if (!answer.ok) return;
      const page = new DOMParser().parseFromString(await answer.text(), "text/html");
      const fresh = page.getElementById("fresh");
      if (fresh) part.replaceChildren(...fresh.childNodes);
    } catch {
      Console.say("Connection to the console lost, trying again …");
    }
  }, 1000 * Number(part.dataset.every));
})();
