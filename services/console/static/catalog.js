"use strict";
// A link to a method opens its part of the catalog.
(() => {
  const open = () => {
    const part = document.getElementById(decodeURIComponent(location.hash.slice(1)));
    if (part && part.tagName === "DETAILS") { part.open = true; part.scrollIntoView(); }
  };
  window.addEventListener("hashchange", open);
  open();
})();
