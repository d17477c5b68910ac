"use strict";

const MOST_ROWS = 200;
const STEP = 1.25;

function make(name, text, className) {
  const element = document.createElement(name);
  if (text !== undefined) element.textContent = text;
  if (className) element.className = className;
  return element;
}

function shown(value) {
  if (value === null || value === undefined) return "-";
  if (typeof value !== "number") return String(value);
  if (Number.isInteger(value)) return value.toLocaleString("en-US");
  if (Math.abs(value) >= 1) return value.toLocaleString("en-US", { minimumFractionDigits: 2, maximumFractionDigits: 2 });
  return String(Number(value.toPrecision(3)));
}

/* A filter is words that must all be in a row, and comparisons of a column such as peak_bytes>1000. */
function parsed(filter, columns) {
  return filter.trim().split(/\s+/).filter(Boolean).map((term) => {
    const match = /^(.+?)(>=|<=|>|<|=)(-?[\d,.]+)$/.exec(term);
    const column = match && columns.find((one) => !one.text && one.name === match[1]);
    if (!column) return { word: term.toLowerCase() };
    return { column, sign: match[2], bound: Number(match[3].replaceAll(",", "")) };
  });
}

const SIGNS = {
  ">": (value, bound) => value > bound,
  "<": (value, bound) => value < bound,
  ">=": (value, bound) => value >= bound,
  "<=": (value, bound) => value <= bound,
  "=": (value, bound) => value === bound,
};

function passes(row, terms, texts) {
  return terms.every((term) => {
    if (term.word !== undefined) return texts[row].includes(term.word);
    const value = term.column.values[row];
    return value !== null && SIGNS[term.sign](value, term.bound);
  });
}

function compared(values, isText, falling) {
  const sign = falling ? -1 : 1;
  return (a, b) => {
    const [x, y] = [values[a], values[b]];
    if (x === null || y === null) return (x === null) - (y === null);
    return sign * (isText ? String(x).localeCompare(String(y), "en", { numeric: true }) : x - y) || a - b;
  };
}

class DataTable {
  constructor(details) {
    const data = JSON.parse(details.querySelector("script").textContent);
    this.columns = data.columns;
    this.rows = Array.from({ length: data.rows }, (_, row) => row);
    this.texts = this.rows.map((row) => this.columns.map((c) => String(c.values[row] ?? "")).join("\n").toLowerCase());
    this.sorted = null;
    this.most = MOST_ROWS;
    this.build(details);
    this.draw();
  }

  build(details) {
    this.filter = make("input");
    this.filter.type = "search";
    const measure = this.columns.find((column) => !column.text);
    this.filter.placeholder = measure ? `words, or ${measure.name}>1000` : "words";
    this.filter.setAttribute("aria-label", `filter: ${details.querySelector("summary").textContent}`);
    this.filter.addEventListener("input", () => this.draw());
    this.count = make("span", "", "count");
    this.more = make("button", "show all");
    this.more.addEventListener("click", () => { this.most = Infinity; this.draw(); });
    const tools = make("div", undefined, "tools");
    tools.append(this.filter, this.count, this.more);
    const table = make("table");
    this.heads = this.columns.map((column) => this.head(column));
    const line = make("tr");
    line.append(...this.heads);
    const head = make("thead");
    head.append(line);
    this.body = make("tbody");
    table.append(head, this.body);
    const scroll = make("div", undefined, "scroll");
    scroll.append(table);
    details.append(tools, scroll);
  }

  head(column) {
    const cell = make("th", undefined, column.text ? "" : "number");
    const button = make("button", column.name);
    button.title = column.help;
    button.addEventListener("click", () => this.sort(column));
    cell.append(button);
    return cell;
  }

  /* Figures start with the largest, text with the first. */
  sort(column) {
    const again = this.sorted && this.sorted.column === column;
    this.sorted = { column, falling: again ? !this.sorted.falling : !column.text };
    this.rows.sort(compared(column.values, column.text, this.sorted.falling));
    this.columns.forEach((one, position) => {
      const order = one === column ? (this.sorted.falling ? "descending" : "ascending") : null;
      if (order) this.heads[position].setAttribute("aria-sort", order);
      else this.heads[position].removeAttribute("aria-sort");
      const mark = order ? (this.sorted.falling ? " ▾" : " ▴") : "";
      this.heads[position].firstChild.textContent = one.name + mark;
    });
    this.draw();
  }

  draw() {
    const terms = parsed(this.filter.value, this.columns);
    const found = this.rows.filter((row) => passes(row, terms, this.texts));
    const drawn = found.slice(0, this.most);
    this.body.replaceChildren(...drawn.map((row) => this.line(row)));
    this.count.textContent = `${drawn.length.toLocaleString("en-US")} shown of ${found.length.toLocaleString("en-US")} found, `
      + `${this.rows.length.toLocaleString("en-US")} in all`;
    this.more.hidden = drawn.length === found.length;
  }

  line(row) {
    const line = make("tr");
    line.append(...this.columns.map((column) => {
      const cell = make("td", shown(column.values[row]), column.text ? "" : "number");
      if (column.text && column.values[row]) cell.title = column.values[row];
      return cell;
    }));
    return line;
  }
}

/* Tables are drawn when they are opened first. */
function tables() {
  for (const details of document.querySelectorAll("details.data")) {
    const open = () => {
      if (details.open && !details.table) details.table = new DataTable(details);
    };
    details.addEventListener("toggle", open);
    open();
  }
}

/* One run at a time, in all groups alike. */
function choices() {
  const buttons = [...document.querySelectorAll("button[data-choose]")];
  const choose = (label) => {
    for (const button of buttons) button.setAttribute("aria-pressed", String(button.dataset.choose === label));
    for (const part of document.querySelectorAll("[data-run]")) part.hidden = part.dataset.run !== label;
  };
  for (const button of buttons) button.addEventListener("click", () => choose(button.dataset.choose));
  if (buttons.length) choose(buttons[0].dataset.choose);
}

class Graph {
  constructor(box) {
    this.canvas = box.querySelector(".canvas");
    this.drawing = box.querySelector("svg.graph");
    if (!this.drawing) return;
    this.width = this.drawing.viewBox.baseVal.width;
    this.height = this.drawing.viewBox.baseVal.height;
    this.scale = 1;
    this.stages = [...this.drawing.querySelectorAll(".stage")];
    this.faded = new Set();
    this.at = 0;
    box.querySelector(".nearer").addEventListener("click", () => this.zoom(this.scale * STEP));
    box.querySelector(".farther").addEventListener("click", () => this.zoom(this.scale / STEP));
    box.querySelector(".width").addEventListener("click", () => this.zoom(this.canvas.clientWidth / this.width));
    box.querySelector(".whole").addEventListener("click", () => this.zoom(this.canvas.clientHeight / this.height));
    box.querySelector(".slow").addEventListener("click", () => this.show(this.drawing.querySelector(".slowest")));
    this.search = box.querySelector("input");
    this.search.addEventListener("input", () => this.find());
    this.search.addEventListener("keydown", (event) => { if (event.key === "Enter") this.next(); });
    this.count = box.querySelector(".count");
    for (const button of box.querySelectorAll("button[data-fade]")) button.addEventListener("click", () => this.fade(button));
    this.drag();
    this.canvas.addEventListener("wheel", (event) => {
      if (!event.ctrlKey) return;
      event.preventDefault();
      this.zoom(this.scale * (event.deltaY < 0 ? STEP : 1 / STEP));
    }, { passive: false });
  }

  /* What is in the middle stays there. */
  zoom(scale) {
    const view = this.canvas;
    const x = (view.scrollLeft + view.clientWidth / 2) / this.scale;
    const y = (view.scrollTop + view.clientHeight / 2) / this.scale;
    this.scale = Math.min(Math.max(scale, 0.01), 8);
    this.drawing.setAttribute("width", this.width * this.scale);
    this.drawing.setAttribute("height", this.height * this.scale);
    view.scrollTo(x * this.scale - view.clientWidth / 2, y * this.scale - view.clientHeight / 2);
  }

  show(stage) {
    if (!stage) return;
    const box = stage.getBBox();
    const view = this.canvas;
    view.scrollTo((box.x + box.width / 2) * this.scale - view.clientWidth / 2,
      (box.y + box.height / 2) * this.scale - view.clientHeight / 2);
  }

  find() {
    const words = this.search.value.trim().toLowerCase();
    this.found = this.stages.filter((stage) => words && stage.dataset.stage.toLowerCase().includes(words));
    for (const stage of this.stages) stage.classList.toggle("found", this.found.includes(stage));
    this.count.textContent = words ? `${this.found.length} found` : "";
    this.at = 0;
    this.show(this.found[0]);
  }

  next() {
    if (!this.found || !this.found.length) return;
    this.at = (this.at + 1) % this.found.length;
    this.show(this.found[this.at]);
  }

  fade(button) {
    const role = button.dataset.fade;
    const fades = !this.faded.delete(role);
    if (fades) this.faded.add(role);
    button.setAttribute("aria-pressed", String(!fades));
    for (const part of this.drawing.querySelectorAll("[data-role]")) {
      part.classList.toggle("faded", this.faded.has(part.dataset.role));
    }
  }

  drag() {
    const view = this.canvas;
    let from = null;
    view.addEventListener("pointerdown", (event) => {
      from = [event.clientX + view.scrollLeft, event.clientY + view.scrollTop];
      view.classList.add("moving");
    });
    window.addEventListener("pointermove", (event) => {
      if (from) view.scrollTo(from[0] - event.clientX, from[1] - event.clientY);
    });
    window.addEventListener("pointerup", () => { from = null; view.classList.remove("moving"); });
  }
}

tables();
choices();
for (const box of document.querySelectorAll(".network")) new Graph(box);
document.documentElement.dataset.ready = "yes";
