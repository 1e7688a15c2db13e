// Sorts, filters and pages the tables that stand in the page. It moves rows and makes none: no text becomes markup.
document.documentElement.classList.add("script");
document.addEventListener("DOMContentLoaded", () => {
  const PAGE = 100;
  const SIGNS = "✓↪✗!○?—";
  const words = new Intl.Collator(undefined, { numeric: true, sensitivity: "base" });
  const $ = (id) => document.getElementById(id);

  // What a cell is sorted by: a sign by its place in SIGNS, then its letter; a number; else its text.
  function key(row, column) {
    const text = row.cells[column].textContent.trim();
    const place = text ? SIGNS.indexOf(text[0]) : -1;
    if (place >= 0 && row.cells[column].classList.contains("m")) return place + (text.charCodeAt(1) || 0) / 1e4;
    const value = row.cells[column].dataset.value ?? text;
    return value !== "" && !isNaN(value) ? Number(value) : value;
  }

  function compare(a, b) {
    if (typeof a === "number" && typeof b === "number") return a - b;
    if (typeof a === typeof b) return words.compare(a, b);
    return typeof a === "number" ? -1 : 1;
  }

  function sortable(table, rows, show) {
    const heads = [...table.tHead.rows[0].cells];
    heads.forEach((head, column) => {
      const button = document.createElement("button");
      button.type = "button";
      button.append(...head.childNodes);
      head.append(button);
      head.setAttribute("aria-sort", "none");
      button.addEventListener("click", () => {
        const up = head.getAttribute("aria-sort") !== "ascending";
        heads.forEach((other) => other.setAttribute("aria-sort", "none"));
        head.setAttribute("aria-sort", up ? "ascending" : "descending");
        const keys = new Map(rows.map((row) => [row, key(row, column)]));
        rows.sort((a, b) => (up ? 1 : -1) * compare(keys.get(a), keys.get(b)));
        show();
      });
    });
  }

  const exercises = $("exercises");
  if (exercises) {
    const body = exercises.tBodies[0];
    const rows = [...body.rows];
    sortable(exercises, rows, () => body.replaceChildren(...rows));
  }

  const table = $("learners");
  if (!table) return;
  const body = table.tBodies[0];
  const all = [...body.rows];
  const texts = new Map(all.map((row) => [row, row.textContent.toLowerCase()]));
  const wanted = $("text"), state = $("state");
  let found = all, from = 0, whole = false, mistake = null;

  function filter() {
    const parts = wanted.value.toLowerCase().split(/\s+/).filter(Boolean);
    found = all.filter((row) =>
      parts.every((part) => texts.get(row).includes(part)) &&
      (!state.value || row.dataset.state.split(" ").includes(state.value)) &&
      (!mistake || row.cells[mistake.column].textContent.slice(1) === mistake.letter));
    $("mistake").hidden = !mistake;
    if (mistake) $("mistake").textContent = `Only: ${mistake.says} ✕`;
    from = 0;
    show();
  }

  function show() {
    const kept = new Set(found);
    found = all.filter((row) => kept.has(row)); // in the order of the last sorting
    const page = whole ? found : found.slice(from, from + PAGE);
    body.replaceChildren(...page);
    const to = from + page.length;
    $("shown").textContent = found.length > page.length
      ? `${from + 1} to ${to} of ${found.length} learners`
      : `${found.length} of ${all.length} learners`;
    $("back").disabled = from === 0;
    $("next").disabled = to >= found.length;
    $("back").hidden = $("next").hidden = found.length <= PAGE;
  }

  sortable(table, all, () => { from = 0; show(); });
  wanted.addEventListener("input", filter);
  state.addEventListener("change", filter);
  $("back").addEventListener("click", () => { from = Math.max(0, from - PAGE); show(); });
  $("next").addEventListener("click", () => { from += PAGE; show(); });
  $("mistake").addEventListener("click", () => { mistake = null; filter(); wanted.focus(); });
  for (const button of document.querySelectorAll("button.who")) {
    button.addEventListener("click", () => {
      mistake = button.dataset.letter
        ? { column: Number(button.dataset.column), letter: button.dataset.letter, says: button.dataset.says }
        : null;
      state.value = button.dataset.state ?? "";
      wanted.value = "";
      filter();
      $("everybody").scrollIntoView();
      $("everybody").focus({ preventScroll: true });
    });
  }
  matchMedia("print").addEventListener("change", (event) => { whole = event.matches; show(); });
  filter();
});
