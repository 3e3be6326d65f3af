// Sorting by a click on a heading, and arrow keys between numbers. Without it the tables are whole, in the
// order of the groups, and the tab key goes through their numbers.
document.documentElement.classList.add("scripted");
for (const table of document.querySelectorAll("table.sortable")) {
  const headings = table.querySelectorAll("th[data-column]");
  const bodies = [...table.tBodies];
  const original = bodies.map((body) => [...body.rows]);
  for (const heading of headings) {
    const button = document.createElement("button");
    button.type = "button";
    button.append(...heading.childNodes);
    heading.append(button);
    button.addEventListener("click", () => sort(heading));
  }
  function sort(heading) {
    const column = Number(heading.dataset.column);
    // The first click puts the largest number or the first name on top, the second turns it round,
    // the third brings the groups back.
    const name = heading.classList.contains("name");
    const steps = name ? ["ascending", "descending"] : ["descending", "ascending"];
    const direction = steps[steps.indexOf(heading.getAttribute("aria-sort")) + 1];
    for (const other of headings) other.removeAttribute("aria-sort");
    table.classList.toggle("sorted", direction !== undefined);
    if (direction === undefined) {
      bodies.forEach((body, i) => body.append(...original[i]));
      return;
    }
    heading.setAttribute("aria-sort", direction);
    const sign = direction === "ascending" ? 1 : -1;
    const rows = original.flat().map((row) => [key(row.cells[column]), row]);
    rows.sort(([a], [b]) => compare(a, b, sign));
    bodies[0].append(...rows.map(([, row]) => row));
  }
  function key(cell) {
    if (cell.classList.contains("name")) return cell.textContent.trim();
    return cell.dataset.order === undefined ? null : Number(cell.dataset.order);
  }
  function compare(a, b, sign) {
    if (a === null || b === null) return (a === null) - (b === null); // what was not measured comes last
    return sign * (typeof a === "number" ? a - b : a.localeCompare(b));
  }
}
for (const table of document.querySelectorAll("table.pinned")) {
  const numbers = () => [...table.querySelectorAll("td[tabindex]")].filter((cell) => cell.offsetParent);
  for (const cell of table.querySelectorAll("td[tabindex]")) cell.tabIndex = -1;
  const first = table.querySelector("td[tabindex]");
  if (first) first.tabIndex = 0;
  table.addEventListener("keydown", (event) => {
    const step = { ArrowLeft: [0, -1], ArrowRight: [0, 1], ArrowUp: [-1, 0], ArrowDown: [1, 0] }[event.key];
    const cell = event.target.closest("td[tabindex]");
    if (!step || !cell) return;
    event.preventDefault();
    const rows = [...table.rows].filter((row) => row.parentNode.tagName === "TBODY");
    const row = rows[rows.indexOf(cell.parentNode) + step[0]];
    const next = step[0] ? row && row.cells[cell.cellIndex] : numbers()[numbers().indexOf(cell) + step[1]];
    if (next && next.hasAttribute("tabindex")) {
      cell.tabIndex = -1;
      next.tabIndex = 0;
      next.focus();
    }
  });
}
