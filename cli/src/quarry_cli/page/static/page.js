// What htmx leaves to its page: going on after silence, waiting while nobody looks, and arrow keys in the grid.
(() => {
  "use strict";
  const RETRY_S = 5, RETRY_S_MAX = 120;
  let retry_s = RETRY_S;
  const silent = () => document.getElementById("silent");

  const again = (element) => htmx.trigger(element, "again");

  function missed(event) {
    const element = event.detail.elt;
    if (!element.id || !document.body.contains(element)) return;
    const xhr = event.detail.xhr;
    if (xhr && xhr.status === 401) {
      silent().textContent = "You are signed out. Open the page again with its token.";
      return;
    }
    silent().textContent = `No answer: what you see is not new. Trying again in ${retry_s} s.`;
    setTimeout(() => again(element), retry_s * 1000);
    retry_s = Math.min(2 * retry_s, RETRY_S_MAX);
  }

  document.addEventListener("htmx:sendError", missed);
  document.addEventListener("htmx:responseError", missed);
  document.addEventListener("htmx:timeout", missed);
  document.addEventListener("htmx:afterSwap", () => {
    retry_s = RETRY_S;
    if (silent().textContent) silent().textContent = "";
  });

  // A page in the background asks nothing, and asks at once when it is seen again.
  const waiting = new Set();
  document.addEventListener("htmx:beforeRequest", (event) => {
    if (!document.hidden) return;
    event.preventDefault();
    waiting.add(event.detail.elt);
  });
  document.addEventListener("visibilitychange", () => {
    if (document.hidden) return;
    for (const element of waiting) if (document.body.contains(element)) again(element);
    waiting.clear();
  });

  // One stop for the tab key, arrows within.
  document.addEventListener("keydown", (event) => {
    const cell = event.target.closest ? event.target.closest(".grid .cell") : null;
    if (!cell) return;
    const cells = [...cell.closest(".grid").querySelectorAll(".cell")];
    const top = cells[0].getBoundingClientRect().top;
    const wide = Math.max(1, cells.findIndex((each) => each.getBoundingClientRect().top > top + 1));
    const columns = cells[cells.length - 1].getBoundingClientRect().top > top + 1 ? wide : cells.length;
    const steps = { ArrowRight: 1, ArrowLeft: -1, ArrowDown: columns, ArrowUp: -columns };
    let place = cells.indexOf(cell);
    if (event.key in steps) place += steps[event.key];
    else if (event.key === "Home") place = 0;
    else if (event.key === "End") place = cells.length - 1;
    else return;
    event.preventDefault();
    const next = cells[Math.min(Math.max(place, 0), cells.length - 1)];
    cell.tabIndex = -1;
    next.tabIndex = 0;
    next.focus();
  });
})();
