"use strict";
// The form of a new job: another method brings its own fields; what was typed into fields of the same name stays.
(() => {
  const form = document.getElementById("order");
  const method = document.getElementById("method");
  const place = document.getElementById("method-fields");
  const problems = document.getElementById("problems");
  if (problems) problems.focus();
  form.addEventListener("submit", () => { document.getElementById("submit").disabled = true; });
  window.addEventListener("pageshow", () => { document.getElementById("submit").disabled = false; });
  if (!method) return;
  let asked = 0;
  method.addEventListener("change", async () => {
    const number = ++asked;
    const typed = new URLSearchParams([["method", method.value]]);
    for (const field of place.querySelectorAll("input, select")) if (field.value) typed.set(field.name, field.value);
    try {
      const answer = await fetch(`/new/${form.getAttribute("data-kind")}/parameters?${typed}`);
      if (!answer.ok) throw new Error(String(answer.status));
      const html = await answer.text();
      if (number === asked) place.innerHTML = html;
    } catch {
      Console.say("The fields of this method could not be loaded; try again.");
    }
  });
})();
