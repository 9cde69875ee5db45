(() => {
  "use strict";
  const LIVE_MS = 1000;
  const CALM_MS = 4000;
  const LATE_MS = 8000;
  const main = document.getElementById("top");
  const pulse = document.getElementById("pulse");
  const source = document.body.dataset.source;
  const sorted = new Map();
  let pace = document.body.dataset.pace === "live" ? LIVE_MS : CALM_MS;
  let mark = "";
  let timer = 0;

  function ago(moment) {
    const s = Math.max(0, Math.round((Date.now() - moment) / 1000));
    if (s < 5) return "just now";
    if (s < 60) return `${s} s ago`;
    if (s < 3600) return `${Math.round(s / 60)} min ago`;
    if (s < 86400) return `${Math.round(s / 3600)} h ago`;
    const days = Math.round(s / 86400);
    return days === 1 ? "yesterday" : `${days} days ago`;
  }

  function tick() {
    for (const each of document.querySelectorAll("time[datetime]")) {
      const moment = Date.parse(each.dateTime);
      if (Number.isNaN(moment)) continue;
      if (!each.title) each.title = new Date(moment).toLocaleString();
      const said = ago(moment);
      if (each.textContent !== said) each.textContent = said;
    }
  }

  // Tables keep the order that the reader has chosen, however often their rows change.
  function sort(table) {
    const chosen = sorted.get(table.id);
    if (!chosen) return;
    const heads = [...table.tHead.rows[0].cells];
    heads.forEach((head, place) => {
      if (head.ariaSort !== null) {
        const on = place === chosen.column;
        head.setAttribute("aria-sort", on ? (chosen.sign > 0 ? "ascending" : "descending") : "none");
      }
    });
    const numeric = heads[chosen.column].dataset.by === "number";
    const rows = [...table.tBodies[0].rows].map((row, place) => {
      const value = row.cells[chosen.column].dataset.value;
      return { row, place, value: value === undefined ? null : numeric ? Number(value) : value };
    });
    rows.sort((a, b) => {
      if (a.value === null || b.value === null) {
        return (a.value === null) - (b.value === null) || a.place - b.place;
      }
      const order = numeric
        ? a.value - b.value
        : String(a.value).localeCompare(String(b.value), "en", { numeric: true });
      return chosen.sign * order || a.place - b.place;
    });
    table.tBodies[0].append(...rows.map((each) => each.row));
  }

  main.addEventListener("click", (event) => {
    const button = event.target.closest("table.sorts th button");
    if (!button) return;
    const table = button.closest("table");
    const column = button.closest("th").cellIndex;
    const before = sorted.get(table.id);
    const sign = before && before.column === column ? -before.sign : 1;
    sorted.set(table.id, { column, sign });
    sort(table);
  });

  // A part is replaced only where it changed; what was open, scrolled or focused in it stays so.
  function replace(part, html) {
    if (part.shown === html) return;
    part.shown = html;
    const focused = part.contains(document.activeElement) ? document.activeElement.id : "";
    const open = [...part.querySelectorAll("details[open][id]")].map((each) => each.id);
    const scrolled = [...part.querySelectorAll("[id]")]
      .filter((each) => each.scrollLeft || each.scrollTop)
      .map((each) => [each.id, each.scrollLeft, each.scrollTop]);
    part.innerHTML = html;
    for (const id of open) document.getElementById(id)?.setAttribute("open", "");
    for (const [id, left, top] of scrolled) document.getElementById(id)?.scrollTo(left, top);
    part.querySelectorAll("table.sorts").forEach(sort);
    if (focused) document.getElementById(focused)?.focus({ preventScroll: true });
  }

  // What the reader looks at stays where it is, though something above it grows.
  function anchor() {
    const inView = (each) => {
      const { top, bottom } = each.getBoundingClientRect();
      return bottom > top && top >= 0 && top < innerHeight;
    };
    const focused = document.activeElement;
    const named = focused !== document.body && main.contains(focused) ? focused.closest("[id]") : null;
    if (named && named !== main && inView(named)) return named;
    return [...main.querySelectorAll("[data-part], [id]")].find(inView);
  }

  function inPlace(change) {
    const held = scrollY > 0 ? anchor() : null;
    const before = held?.getBoundingClientRect().top;
    const id = held?.id;
    const part = held?.dataset.part;
    change();
    if (!held) return;
    const now = part ? main.querySelector(`[data-part="${part}"]`) : document.getElementById(id);
    if (now) scrollBy({ top: now.getBoundingClientRect().top - before, behavior: "instant" });
  }

  function show(found) {
    mark = found.mark;
    pace = found.live ? LIVE_MS : CALM_MS;
    document.title = `${found.title} · midband`;
    const parts = new Map([...main.querySelectorAll("[data-part]")].map((e) => [e.dataset.part, e]));
    for (const [name, html] of Object.entries(found.parts)) {
      const part = parts.get(name);
      if (part) replace(part, html);
    }
    tick();
  }

  function say(text, lost) {
    if (pulse.textContent !== text) pulse.textContent = text;
    pulse.classList.toggle("lost", lost);
  }

  async function ask() {
    clearTimeout(timer);
    if (document.hidden) return;
    const control = new AbortController();
    const late = setTimeout(() => control.abort(), LATE_MS);
    try {
      const answer = await fetch(`${source}?have=${mark}`, { signal: control.signal });
      if (answer.status !== 200 && answer.status !== 204) throw new Error(`status ${answer.status}`);
      const found = answer.status === 200 ? await answer.json() : null;
      inPlace(() => {
        if (found) show(found);
        say(pace === LIVE_MS ? "live" : "idle", false);
      });
    } catch {
      inPlace(() => say("midband view does not answer. Start it again, and this page goes on.", true));
    } finally {
      clearTimeout(late);
      timer = setTimeout(ask, pace);
    }
  }

  tick();
  setInterval(tick, 1000);
  document.documentElement.dataset.charts = "drawn"; // they came with the page
  if (!source) return;
  for (const part of main.querySelectorAll("[data-part]")) part.shown = null;
  document.addEventListener("visibilitychange", ask);
  ask();
})();
