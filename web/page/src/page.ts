/** The page: the images of an archive, and what is found among them. */

import type { Condition } from "../../reader/src/index.ts";
import type { Drawn, Facts, Sought } from "./calls.ts";
import { Refused, startWorker } from "./client.ts";
import { Conditions } from "./conditions.ts";
import { Detail } from "./detail.ts";
import { element } from "./elements.ts";
import { Grid } from "./grid.ts";
import type { Picture } from "./pictures.ts";
import { Pictures } from "./pictures.ts";
import type { View, ViewHost } from "./views/data.ts";
import { loadView, tell, VIEWS } from "./views/views.ts";

const SETTLED = 60; // milliseconds for which the same images are seen before they are fetched
const FOUND = 100; // images that are listed as found
const TYPED = 150; // milliseconds after the last letter

const [text, words, label, codes] = [element("text", HTMLInputElement), element("words", HTMLInputElement), element("label", HTMLSelectElement), element("codes", HTMLSelectElement)];
const [told, status, all] = [element("told", HTMLElement), element("status", HTMLElement), element("all", HTMLButtonElement)];

const pictures = new Pictures();
const worker = startWorker(drawn);
let scores: ReadonlyMap<number, number> = new Map();
let seen: readonly number[] = [];
let also: readonly number[] = []; // what the open dialog shows
let settling = 0;
let facts: Facts = { count: 0, revision: 0, describers: [], labels: [], columns: {} };
let latest = 0; // number of the newest list that was asked for
let sought: Sought | null = null;
let viewed = ""; // name of the view that is shown; none for the grid
const views = new Map<string, { root: HTMLElement; view: View | null }>();
const conditions = new Conditions(element("conditions", HTMLElement), soon);

const grid = new Grid(
  element("scroller", HTMLElement),
  element("grid", HTMLElement),
  {
    seen: (positions) => !viewed && see(positions),
    opened: (place) => void detail.open(grid.positions[place]!, place),
  },
  makeCell,
);

const detail = new Detail(worker, {
  codes: () => codes.value,
  cell: (button, position, score) => {
    button.className = "cell";
    fillCell(button, position);
    showScore(button, score);
  },
  picture: (position) => pictures.get(position),
  want(positions) {
    also = positions;
    fetchSeen();
  },
  beside(place, step) {
    const to = place + step;
    return to >= 0 && to < grid.positions.length ? [grid.positions[to]!, to] : null;
  },
  closed(place) {
    also = [];
    if (place !== null) grid.focus(place);
  },
  kin(position, id) {
    void seek({ by: "image", position, id });
  },
  told: complain,
});

/** These are seen now; what of them is not there is fetched as soon as they stay. */
function see(positions: readonly number[]): void {
  if (positions.length === seen.length && positions.every((one, at) => one === seen[at])) return;
  seen = positions;
  clearTimeout(settling);
  settling = setTimeout(fetchSeen, SETTLED) as unknown as number;
}

function makeCell(button: HTMLButtonElement, position: number): void {
  fillCell(button, position);
  const score = scores.get(position);
  if (score !== undefined) showScore(button, score);
}

function fillCell(button: HTMLButtonElement, position: number): void {
  button.dataset["position"] = String(position);
  button.ariaLabel = `Image ${position + 1}`;
  const known = pictures.get(position);
  if (known) showPicture(button, known);
  void worker.entries([position]).then(
    ([entry]) => {
      const score = button.querySelector(".score")?.textContent;
      button.ariaLabel = [entry!.id, entry!.label, score].filter(Boolean).join(", ");
      button.title = entry!.id;
    },
    () => undefined, // the picture tells what is wrong
  );
}

function showScore(button: HTMLButtonElement, score: number): void {
  const mark = document.createElement("span");
  mark.className = "score";
  mark.textContent = score.toFixed(2);
  button.append(mark);
}

function showPicture(button: HTMLElement, { url, fault }: Picture): void {
  for (const old of button.querySelectorAll("img, canvas, .fault")) old.remove();
  const shown = document.createElement(url ? "img" : "span");
  if (shown instanceof HTMLImageElement) {
    shown.alt = "";
    shown.src = url;
    shown.onerror = () => showPicture(button, { url: "", type: "", isStored: false, fault: "this browser cannot show it" });
  } else {
    shown.className = "fault";
    shown.textContent = fault;
  }
  button.prepend(shown);
}

/** The cells of a position, wherever they are. */
function* cellsOf(position: number): Generator<HTMLElement> {
  yield* document.querySelectorAll<HTMLElement>(`.cell[data-position="${position}"]`);
}

function fetchSeen(): void {
  const missing = [...new Set([...also, ...seen])].filter((position) => !pictures.get(position));
  void worker.want(missing);
  const blank = seen.filter((position) => !pictures.get(position));
  if (!blank.length || !codes.value) return;
  void worker.placeholders(blank, codes.value).then((drawn) => {
    drawn.forEach((pixels, at) => {
      if (!pixels || pictures.get(blank[at]!)) return;
      for (const cell of cellsOf(blank[at]!)) showPlaceholder(cell, pixels);
    });
  }, complain);
}

function showPlaceholder(cell: HTMLElement, pixels: Uint8ClampedArray<ArrayBuffer>): void {
  if (cell.querySelector("img, canvas")) return;
  const canvas = document.createElement("canvas");
  canvas.width = canvas.height = 16;
  canvas.getContext("2d")?.putImageData(new ImageData(pixels, 16, 16), 0, 0);
  cell.prepend(canvas);
}

function drawn(one: Drawn): void {
  const picture = pictures.keep(one, new Set([...seen, ...also]));
  for (const cell of cellsOf(one.position)) showPicture(cell, picture);
  detail.drawn(one.position, picture);
}

function say(line: string, isBad = false): void {
  status.textContent = line;
  told.classList.toggle("bad", isBad);
  element("suggestions", HTMLElement).replaceChildren();
}

function complain(error: unknown): void {
  say(error instanceof Error ? error.message : String(error), true);
  if (!(error instanceof Refused)) return;
  element("suggestions", HTMLElement).replaceChildren(
    ...error.suggestions.map((one) => {
      const button = document.createElement("button");
      [button.type, button.textContent] = ["button", one];
      button.addEventListener("click", () => void seek({ by: "words", words: one }));
      return button;
    }),
  );
}

const counted = (count: number): string => `${count.toLocaleString("en")} image${count === 1 ? "" : "s"}`;

/** What the fields ask for. */
function asked(): Condition[] {
  const own: Condition[] = [];
  if (text.value) own.push({ column: "id", operator: "contains", value: text.value });
  if (label.value) own.push({ column: "label", operator: "=", value: label.value.slice(1) });
  return [...own, ...conditions.value];
}

function toldOf(one: Sought): string {
  if (one.by === "image") return `alike to ${one.id}`;
  return one.by === "words" ? `that may show: ${one.words}, the surest first` : `like ${one.file.name}, the nearest first`;
}

/** List what the fields ask for, and of that what is like what is sought. */
async function list(): Promise<void> {
  const [number, held] = [++latest, asked()];
  all.hidden = !held.length && !sought && !conditions.count;
  if (sought) say("Searching…");
  try {
    const { positions, similarities } = await worker.list({ conditions: held, sought, k: FOUND, codes: codes.value });
    if (number !== latest) return;
    scores = new Map(similarities ? Array.from(positions, (position, at) => [position, similarities[at]!]) : []);
    const total = facts.count.toLocaleString("en");
    const among = held.length ? (sought ? " among those that pass the filter" : ` of ${total}`) : "";
    show(positions, `${counted(positions.length)}${sought ? ` ${toldOf(sought)}` : ""}${among}`);
  } catch (error) {
    if (number === latest) complain(error);
  }
}

function show(positions: Int32Array, line: string): void {
  grid.show(positions);
  for (const { view } of views.values()) view?.listed(positions);
  say(line);
}

let typing = 0;
/** The same once nobody types for a moment. */
function soon(): void {
  clearTimeout(typing);
  typing = setTimeout(() => void list(), TYPED) as unknown as number;
}

/** List what is like something; it is seen in the grid. */
async function seek(what: Sought | null): Promise<void> {
  sought = what;
  words.value = what?.by === "words" ? what.words : "";
  if (what) showView("");
  await list();
  if (what && grid.positions.length) grid.focus(0);
}

function choices(select: HTMLSelectElement, options: readonly (readonly [value: string, shown: string])[]): void {
  select.replaceChildren(...options.map(([value, shown]) => new Option(shown, value)));
}

async function open(source: string | File, name: string): Promise<void> {
  say("Opening…");
  try {
    facts = await worker.open(source);
  } catch (error) {
    return complain(error);
  }
  pictures.clear();
  [seen, also, sought, text.value, words.value] = [[], [], null, "", ""];
  conditions.open(facts.columns);
  showView("");
  listViews(typeof source === "string" ? meta("views").split(" ").filter((one) => Object.hasOwn(VIEWS, one)) : []);
  element("title", HTMLElement).textContent = document.title = name;
  choices(codes, facts.describers.map((one) => [one, one]));
  element("by-codes", HTMLElement).hidden = facts.describers.length < 2;
  // A value begins with a mark, so that an empty label is not taken for none.
  choices(label, [["", "all"], ...facts.labels.map(([one, count]) => [`=${one}`, `${one} (${count.toLocaleString("en")})`] as const)]);
  element("by-label", HTMLElement).hidden = !facts.labels.length;
  await list();
  await follow();
  element("by-words", HTMLElement).hidden = !(await worker.knowsWords().catch(() => false));
}

/** Open the image that the address names. */
async function follow(): Promise<void> {
  const id = new URLSearchParams(location.hash.slice(1)).get("id");
  if (id === null) return;
  try {
    await detail.open(await worker.position(id), null);
  } catch (error) {
    complain(error);
  }
}

/** Offer the views that there are data of. */
function listViews(names: readonly string[]): void {
  for (const { root } of views.values()) root.remove();
  views.clear();
  const bar = element("views", HTMLElement);
  bar.hidden = !names.length;
  bar.replaceChildren(
    ...["", ...names].map((name) => {
      const button = document.createElement("button");
      [button.type, button.textContent] = ["button", name ? VIEWS[name]! : "Grid"];
      button.dataset["view"] = name;
      button.ariaPressed = String(name === viewed);
      button.addEventListener("click", () => showView(name));
      return button;
    }),
  );
}

const viewHost: ViewHost = {
  cell: fillCell,
  see: (positions) => viewed && see(positions),
  opened: (position) => void detail.open(position, null),
  list(positions, line) {
    showView("");
    scores = new Map();
    [latest, all.hidden] = [latest + 1, false];
    show(positions, `${counted(positions.length)} ${line}`);
    grid.focus(0);
  },
};

/** Show the grid, or a view by its name. */
function showView(name: string): void {
  views.get(viewed)?.view?.shown(false);
  viewed = name;
  for (const button of document.querySelectorAll<HTMLElement>("#views button")) {
    button.ariaPressed = String(button.dataset["view"] === name);
  }
  element("scroller", HTMLElement).classList.toggle("behind", name !== "");
  for (const [one, { root }] of views) root.hidden = one !== name;
  if (!name) return;
  const known = views.get(name);
  if (known) return known.view?.shown(true);
  const root = document.createElement("section");
  [root.className, root.ariaLabel] = [`view ${name}`, VIEWS[name]!];
  document.querySelector("main")!.append(root);
  const made = { root, view: null as View | null };
  views.set(name, made);
  tell(root, "Loading…");
  loadView(root, name, { revision: facts.revision, images: facts.count }, viewHost).then(
    (view) => {
      made.view = view;
      view.listed(grid.positions);
      if (viewed === name) view.shown(true);
    },
    (error: unknown) => {
      tell(root, error instanceof Error ? error.message : String(error));
      views.delete(name); // it is tried again when it is asked for again
      root.remove();
      showView("");
      complain(error);
    },
  );
}

text.addEventListener("input", soon);
label.addEventListener("change", () => void list());
codes.addEventListener("change", () => void (sought && list()));
element("add-condition", HTMLElement).addEventListener("click", () => {
  conditions.add();
  all.hidden = false;
});
words.addEventListener("focus", () => {
  void worker.words().then((known) => {
    element("vocabulary", HTMLElement).replaceChildren(...known.map((one) => new Option(one)));
  }, complain);
}, { once: true });
words.addEventListener("change", () => void seek(words.value.trim() ? { by: "words", words: words.value.trim() } : null));
element("tools", HTMLFormElement).addEventListener("submit", (event) => {
  event.preventDefault();
  if (document.activeElement !== words) void list();
});
all.addEventListener("click", () => {
  [text.value, label.value] = ["", ""];
  conditions.clear();
  void seek(null);
});
element("size", HTMLInputElement).addEventListener("input", (event) => grid.resize(Number((event.target as HTMLInputElement).value)));

/** Take a file that somebody chose, dropped or pasted: a picture to find, or an archive to open. */
function taken(file: File | null | undefined): void {
  if (!file) return;
  if (/\.zip$/i.test(file.name)) {
    void open(file, file.name.replace(/(\.kin)?\.zip$/i, ""));
  } else if (!codes.value) {
    complain(new Error("this archive has no codes to find pictures by; give it some with: kinpack embed"));
  } else {
    void seek({ by: "picture", file });
  }
}

const [picker, drop] = [element("picture", HTMLInputElement), element("drop", HTMLElement)];
element("by-picture", HTMLElement).addEventListener("click", () => picker.click());
picker.addEventListener("change", () => {
  taken(picker.files?.[0]);
  picker.value = "";
});
let over = 0; // elements that a drag has entered and not left
const holdsFile = ({ dataTransfer }: DragEvent): boolean => dataTransfer?.types.includes("Files") ?? false;
addEventListener("dragenter", (event) => {
  if (holdsFile(event)) drop.hidden = ++over === 0;
});
addEventListener("dragleave", (event) => {
  if (holdsFile(event)) drop.hidden = --over <= 0;
});
addEventListener("dragover", (event) => event.preventDefault());
addEventListener("drop", (event) => {
  event.preventDefault();
  [over, drop.hidden] = [0, true];
  taken(event.dataTransfer?.files[0]);
});
addEventListener("paste", (event) => taken(event.clipboardData?.files[0]));

const meta = (name: string): string => document.querySelector<HTMLMetaElement>(`meta[name="${name}"]`)?.content ?? "";
void open(new URL(meta("archive"), location.href).href, document.title);
