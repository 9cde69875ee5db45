(() => {
  "use strict";
  const PAGE_ROWS = 25;
  const MOST_MARKS = 4000;
  const NUMBERS_SHOWN = 2000;
  const root = document.documentElement;
  const dark = matchMedia("(prefers-color-scheme: dark)");

  const read = (holder) => JSON.parse(holder.querySelector("script[type='application/json']").textContent);

  // Tables: the first rows stand in the document; the others are built when they are asked for.
  function table(box) {
    const data = read(box);
    const body = box.querySelector("tbody");
    const heads = [...box.querySelectorAll("th")];
    const count = box.querySelector(".count");
    const filter = box.querySelector("input");
    const [previous, next] = box.querySelectorAll(".tools button");
    const marked = new Set(data.marked);
    const all = data.rows.map((cells, place) => ({ cells, place }));
    const text = (cell) => (cell === null ? "\u2013" : Array.isArray(cell) ? cell[1] : cell);
    const value = (cell) => (Array.isArray(cell) ? cell[0] : cell);
    let rows = all;
    let first = 0;
    let sorted = null;

    function show() {
      const shown = rows.slice(first, first + PAGE_ROWS);
      body.replaceChildren(
        ...shown.map(({ cells, place }) => {
          const line = document.createElement("tr");
          if (marked.has(place)) line.className = "marked";
          cells.forEach((cell, column) => {
            const box = document.createElement("td");
            box.className = data.styles[column];
            box.textContent = text(cell);
            line.append(box);
          });
          return line;
        }),
      );
      if (!count) return;
      const last = Math.min(first + PAGE_ROWS, rows.length);
      const of = rows.length.toLocaleString("en");
      count.textContent = rows.length ? `Rows ${first + 1}\u2013${last} of ${of}` : "No row matches";
      previous.disabled = first === 0;
      next.disabled = last >= rows.length;
    }

    function compare(one, other) {
      const a = value(one.cells[sorted.column]);
      const b = value(other.cells[sorted.column]);
      if (a === null || b === null) return (a === null) - (b === null) || one.place - other.place;
      const order =
        typeof a === "number" && typeof b === "number"
          ? a - b
          : String(a).localeCompare(String(b), "en", { numeric: true });
      return sorted.sign * order || one.place - other.place;
    }

    function update() {
      const wanted = filter ? filter.value.trim().toLowerCase() : "";
      rows = wanted
        ? all.filter(({ cells }) => cells.some((cell) => String(text(cell)).toLowerCase().includes(wanted)))
        : [...all];
      if (sorted) rows.sort(compare);
      first = 0;
      show();
    }

    heads.forEach((head, column) => {
      head.querySelector("button").addEventListener("click", () => {
        const again = sorted && sorted.column === column;
        sorted = { column, sign: again ? -sorted.sign : 1 };
        heads.forEach((each) => each.setAttribute("aria-sort", "none"));
        head.setAttribute("aria-sort", sorted.sign > 0 ? "ascending" : "descending");
        update();
      });
    });
    if (filter) filter.addEventListener("input", update);
    if (count) {
      previous.addEventListener("click", () => ((first -= PAGE_ROWS), show()));
      next.addEventListener("click", () => ((first += PAGE_ROWS), show()));
      show();
    }
  }

  // Charts: colours follow the page's, by name.
  function colours() {
    const style = getComputedStyle(root);
    const of = (name) => style.getPropertyValue(`--${name}`).trim();
    const named = {};
    for (const name of ["ground", "raised", "ink", "muted", "faint", "accent", "second"]) {
      named[`$${name}`] = of(name);
    }
    named.$third = dark.matches ? "#2fc79a" : "#009e73";
    named.$fourth = dark.matches ? "#e3a1c8" : "#b5588f";
    named.$fifth = "#e69f00";
    return named;
  }

  function config(named) {
    const font = getComputedStyle(document.body).fontFamily;
    const { $ink, $muted, $faint, $accent, $second, $third, $fourth, $fifth } = named;
    return {
      background: "transparent",
      font,
      view: { stroke: null },
      axis: {
        labelColor: $muted, titleColor: $muted, gridColor: $faint, domainColor: $faint,
        tickColor: $faint, labelFontSize: 12, titleFontSize: 12, titleFontWeight: 500,
        labelLimit: innerWidth < 600 ? 110 : 240, gridOpacity: 0.7,
      },
      legend: {
        columns: innerWidth < 600 ? 1 : undefined,
        labelColor: $muted, titleColor: $muted, labelFontSize: 12, titleFontSize: 12,
        titleFontWeight: 500, orient: "top", labelLimit: 320,
      },
      header: { labelColor: $ink, titleColor: $muted },
      title: { color: $ink },
      text: { color: $ink, fill: $ink },
      range: {
        category: [$accent, $second, $third, $fourth, $fifth, $muted, $ink],
        ordinal: { scheme: "viridis" },
        heatmap: { scheme: "cividis" },
        ramp: { scheme: "cividis" },
      },
    };
  }

  const painted = (part, named) => {
    if (typeof part === "string") return part in named ? named[part] : part;
    if (Array.isArray(part)) return part.map((each) => painted(each, named));
    if (part && typeof part === "object") {
      return Object.fromEntries(
        Object.entries(part).map(([key, each]) => [
          key, key === "values" || key === "datasets" ? each : painted(each, named),
        ]),
      );
    }
    return part;
  };

  const held = (part) =>
    part && typeof part === "object"
      ? Object.entries(part).flatMap(([key, each]) =>
          key === "values" && Array.isArray(each) && each.length && typeof each[0] === "object"
            ? [each]
            : held(each),
        )
      : [];

  let loaded = false;
  function library() {
    if (!loaded) {
      const script = document.createElement("script");
      script.textContent = document.getElementById("vega").textContent;
      document.head.append(script);
      loaded = true;
      // What Vega-Lite says of a specification is for its author, and not for who reads the page.
      const warn = console.warn;
      console.warn = (...said) => said[0] === "WARN" || warn(...said);
    }
    return window.vegaEmbed;
  }

  async function draw(figure) {
    const named = colours();
    const spec = painted(figure.spec, named);
    const marks = figure.numbers.reduce((sum, each) => sum + each.length, 0);
    figure.dataset.state = "drawing";
    try {
      if (figure.result) figure.result.finalize();
      figure.result = await library()(figure.querySelector(".canvas"), spec, {
        mode: "vega-lite",
        actions: false,
        ast: true,
        logLevel: 1,
        defaultStyle: false,
        config: config(named),
        renderer: marks > MOST_MARKS ? "canvas" : "svg",
        tooltip: { theme: "custom" },
        loader: { load: () => Promise.reject(new Error("no network")) },
      });
      figure.dataset.state = "drawn";
    } catch (problem) {
      figure.dataset.state = "failed";
      figure.querySelector(".canvas").textContent = `This chart could not be drawn: ${problem.message}`;
    }
  }

  // The numbers of a chart as a table, for those who do not see it; built when it is opened.
  function numbers(figure) {
    const details = figure.querySelector("details.numbers");
    details.addEventListener("toggle", () => {
      if (!details.open || details.querySelector("table")) return;
      for (const values of figure.numbers) {
        const names = [...new Set(values.slice(0, 50).flatMap(Object.keys))];
        const box = document.createElement("div");
        box.className = "scroll";
        box.tabIndex = 0;
        const line = (cells, kind) => {
          const row = document.createElement("tr");
          for (const each of cells) {
            const cell = document.createElement(kind);
            cell.textContent = each === null || each === undefined ? "\u2013"
              : typeof each === "number" ? String(+each.toPrecision(6)) : String(each);
            if (kind === "td" && typeof each === "number") cell.className = "number";
            row.append(cell);
          }
          return row;
        };
        const made = document.createElement("table");
        made.append(line(names, "th"));
        for (const each of values.slice(0, NUMBERS_SHOWN)) {
          made.append(line(names.map((name) => each[name]), "td"));
        }
        box.append(made);
        details.append(box);
      }
    });
  }

  const idle = window.requestIdleCallback
    ? (then) => requestIdleCallback(then, { timeout: 500 })
    : (then) => setTimeout(then, 30);

  function charts() {
    const figures = [...document.querySelectorAll("figure.drawn-here")];
    const waiting = new Set(figures);
    let chain = Promise.resolve();
    for (const figure of figures) {
      figure.spec = read(figure);
      figure.numbers = held(figure.spec);
      numbers(figure);
    }
    const take = (figure) => {
      if (!waiting.delete(figure)) return;
      chain = chain.then(() => draw(figure)).then(() => {
        if (!waiting.size) chain.then(() => (root.dataset.charts = "drawn"));
      });
    };
    const seen = new IntersectionObserver(
      (entries) => entries.filter((each) => each.isIntersecting).forEach((each) => take(each.target)),
      { rootMargin: "300px" },
    );
    figures.forEach((figure) => seen.observe(figure));
    // The others follow while nothing else is to do, so that a print has them all.
    const rest = () => {
      const [following] = waiting;
      if (!following) return;
      take(following);
      chain.then(() => idle(rest));
    };
    idle(rest);
    if (!figures.length) root.dataset.charts = "drawn";
    dark.addEventListener("change", () =>
      figures.filter((each) => each.dataset.state === "drawn").forEach((each) => {
        chain = chain.then(() => draw(each));
      }),
    );
  }

  addEventListener("keydown", (event) => {
    const active = document.activeElement;
    if (event.key === "Escape" && active && active.classList.contains("term")) active.blur();
  });
  document.querySelectorAll(".tablebox").forEach(table);
  root.dataset.ready = "yes";
  requestAnimationFrame(() => setTimeout(charts));

  const seconds = Number(document.body.dataset.refresh || 0);
  if (seconds > 0) {
    setInterval(() => {
      const typing = document.activeElement instanceof HTMLInputElement;
      if (!document.hidden && !typing && !document.querySelector("details[open]")) location.reload();
    }, seconds * 1000);
  }
})();
