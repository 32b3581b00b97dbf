"use strict";
(() => {
  const $ = (selector, root = document) => root.querySelector(selector);
  const $$ = (selector, root = document) => Array.from(root.querySelectorAll(selector));
  const data = (id) => JSON.parse($(id).textContent || "null");
  const make = (tag, attributes = {}, text = "") => {
    const element = document.createElement(tag);
    for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
    element.textContent = text;
    return element;
  };

  // Light and dark: the system's choice until the button is used.
  const theme = $("#theme");
  const dark = () =>
    (document.documentElement.dataset.theme || (matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light")) === "dark";
  const label = () => { theme.textContent = dark() ? "Light" : "Dark"; };
  theme.hidden = false;
  theme.addEventListener("click", () => { document.documentElement.dataset.theme = dark() ? "light" : "dark"; label(); });
  label();

  // What is missing sorts last, whichever way.
  const compare = (a, b, sign) => {
    const none = (v) => v === null || v === "" || Number.isNaN(v);
    if (none(a) || none(b)) return none(a) - none(b);
    return sign * (typeof a === "string" ? a.localeCompare(b, "en", { numeric: true }) : a - b);
  };
  const turn = (th, row) => {
    const ascending = th.getAttribute("aria-sort") !== "ascending";
    for (const other of $$("th", row)) other.removeAttribute("aria-sort");
    th.setAttribute("aria-sort", ascending ? "ascending" : "descending");
    return ascending ? 1 : -1;
  };

  for (const table of $$("table.sortable")) {
    const head = $("thead tr", table), body = $("tbody", table);
    $$("th", head).forEach((th, column) => {
      const button = make("button", { type: "button" }, th.textContent);
      th.replaceChildren(button);
      button.addEventListener("click", () => {
        const sign = turn(th, head);
        const value = (tr) => {
          const cell = tr.cells[column];
          return cell.dataset.v === undefined ? cell.textContent : cell.dataset.v === "" ? null : Number(cell.dataset.v);
        };
        const rows = $$("tr", body).map((tr, k) => [tr, k, value(tr)]);
        rows.sort((a, b) => compare(a[2], b[2], sign) || a[1] - b[1]);
        for (const name of $$(".again", body)) name.classList.remove("again");
        body.replaceChildren(...rows.map((row) => row[0]));
      });
    });
  }

  // Photos get their pixels when they come into view.
  const photos = data("#photos-data");
  const fill = (slider) => {
    for (const image of $$("img[data-photo]", slider)) {
      image.src = photos[image.dataset.photo];
      image.removeAttribute("data-photo");
    }
  };
  const watcher = new IntersectionObserver((entries) => {
    for (const entry of entries) if (entry.isIntersecting) { fill(entry.target); watcher.unobserve(entry.target); }
  }, { rootMargin: "600px" });
  for (const slider of $$(".slider")) {
    const range = $("input", slider);
    const move = () => slider.style.setProperty("--split", `${range.value}%`);
    range.addEventListener("input", move);
    move();
    watcher.observe(slider);
  }
  addEventListener("beforeprint", () => $$(".slider").forEach(fill));
  const gallery = $("#gallery");
  for (const box of $$("[data-toggle]")) {
    const apply = () => gallery.classList.toggle(box.dataset.toggle, box.checked === (box.dataset.when === "on"));
    box.addEventListener("change", apply);
    apply();
  }

  // The table of all results, of which only one page is in the document at any time.
  const results = data("#results-data"), root = $("#results-table");
  if (!results || !root) return;
  const columns = results.columns, total = results.rows, size = 50;
  const head = make("tr"), body = make("tbody"), table = make("table"), thead = make("thead");
  let order = Uint32Array.from({ length: total }, (_, k) => k), sorted = order, shown = order, page = 0;
  const at = (column, row) => (column.kind === "text" ? column.categories[column.values[row]] : column.values[row]);
  const text = (column, value) => {
    if (value === null) return "–";
    if (column.kind === "flag") return value ? "yes" : "no";
    if (column.kind === "text") return value === "" ? "–" : value;
    return column.percent ? `${(100 * value).toFixed(1).replace(/^-(0\.0)$/, "$1")}%` : String(value);
  };
  for (const column of columns) {
    const th = make("th", { scope: "col", class: column.kind === "text" ? "text" : "" });
    const button = make("button", { type: "button" }, column.title);
    th.append(button);
    head.append(th);
    button.addEventListener("click", () => {
      const sign = turn(th, head);
      const rank = column.kind === "text" ? ranks(column.categories) : null;
      const value = rank ? (row) => rank[column.values[row]] : (row) => column.values[row];
      sorted = order.slice().sort((a, b) => compare(value(a), value(b), sign) || a - b);
      page = 0;
      filter();
    });
  }
  function ranks(categories) {
    const places = categories.map((_, k) => k).sort((a, b) => compare(categories[a], categories[b], 1));
    const rank = [];
    places.forEach((code, place) => { rank[code] = categories[code] === "" ? null : place; });
    return rank;
  }
  thead.append(head);
  table.append(thead, body);
  root.append(table);

  const controls = $("#results-controls"), search = $("#results-search"), selects = [];
  for (const column of columns) {
    if (!column.filter) continue;
    const select = make("select", { "aria-label": column.title });
    select.append(make("option", { value: "" }, `${column.title}: all`));
    const values = column.kind === "text" ? column.categories.map((name, k) => [k, name === "" ? "–" : name])
      : [...new Set(column.values)].sort((a, b) => compare(a, b, 1)).map((v) => [v, text(column, v)]);
    for (const [value, name] of values) select.append(make("option", { value: JSON.stringify(value) }, name));
    select.addEventListener("change", () => { page = 0; filter(); });
    selects.push([column, select]);
    controls.append(select);
  }
  search.addEventListener("input", () => { page = 0; filter(); });
  const draw = () => {
    const pages = Math.max(1, Math.ceil(shown.length / size));
    page = Math.min(Math.max(page, 0), pages - 1);
    const rows = Array.from(shown.slice(page * size, (page + 1) * size), (row) => {
      const tr = make("tr");
      for (const column of columns) {
        const value = at(column, row);
        const kind = column.kind === "flag" && value !== null ? (value ? "yes" : "no") : column.kind === "text" ? "text" : "";
        const cell = make("td", kind ? { class: kind } : {});
        cell.append(make("bdi", {}, text(column, value)));
        tr.append(cell);
      }
      return tr;
    });
    body.replaceChildren(...rows);
    const first = shown.length ? page * size + 1 : 0, last = Math.min(shown.length, (page + 1) * size);
    $("#results-count").textContent = `${first}–${last} of ${shown.length}` + (shown.length < total ? ` (${total} in all)` : "");
    $("#results-back").disabled = page === 0;
    $("#results-on").disabled = page >= pages - 1;
  };
  function filter() {
    const words = search.value.toLowerCase().split(/\s+/).filter(Boolean);
    const chosen = selects.filter(([, select]) => select.value !== "").map(([column, select]) => [column, JSON.parse(select.value)]);
    const texts = columns.filter((column) => column.kind === "text");
    // For each word and column: which categories hold it.
    const hits = words.map((word) => texts.map((column) => column.categories.map((name) => name.toLowerCase().includes(word))));
    shown = sorted.filter((row) =>
      chosen.every(([column, value]) => column.values[row] === value) &&
      hits.every((word) => word.some((has, k) => has[texts[k].values[row]])));
    draw();
  }
  $("#results-back").addEventListener("click", () => { page -= 1; draw(); });
  $("#results-on").addEventListener("click", () => { page += 1; draw(); });
  draw();
})();
