/** The page: the images of an archive, and what is found among them. */

import type { Drawn, Facts, Found } from "./calls.ts";
import { startWorker } from "./client.ts";
import { Detail } from "./detail.ts";
import { element } from "./elements.ts";
import { Grid } from "./grid.ts";
import type { Picture } from "./pictures.ts";
import { Pictures } from "./pictures.ts";

const SETTLED = 60; // milliseconds for which the same images are seen before they are fetched
const FOUND = 100; // images that are listed as alike

const [text, label, codes] = [element("text", HTMLInputElement), element("label", HTMLSelectElement), element("codes", HTMLSelectElement)];
const [told, status, all] = [element("told", HTMLElement), element("status", HTMLElement), element("all", HTMLButtonElement)];

const pictures = new Pictures();
const worker = startWorker(drawn);
let scores: ReadonlyMap<number, number> = new Map();
let seen: readonly number[] = [];
let also: readonly number[] = []; // what the open dialog shows
let settling = 0;
let facts: Facts = { count: 0, describers: [], labels: [] };
let latest = 0; // number of the newest list that was asked for

const grid = new Grid(
  element("scroller", HTMLElement),
  element("grid", HTMLElement),
  {
    seen(positions) {
      if (positions.length === seen.length && positions.every((one, at) => one === seen[at])) return;
      seen = positions;
      clearTimeout(settling);
      settling = setTimeout(fetchSeen, SETTLED) as unknown as number;
    },
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
    void listed(async () => worker.kin(position, FOUND, codes.value), `alike to ${id}`);
  },
  told: complain,
});

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

/** The cells of a position, in the grid and in the dialog. */
function* cellsOf(position: number): Generator<HTMLElement> {
  yield* grid.buttons(position);
  yield* document.querySelectorAll<HTMLElement>(`#alike [data-position="${position}"]`);
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
}

function complain(error: unknown): void {
  say(error instanceof Error ? error.message : String(error), true);
}

const counted = (count: number): string => `${count.toLocaleString("en")} image${count === 1 ? "" : "s"}`;

/** List what the fields ask for. */
async function filter(): Promise<void> {
  const number = ++latest;
  try {
    const positions = await worker.list({ text: text.value, label: label.value ? label.value.slice(1) : null });
    if (number !== latest) return;
    scores = new Map();
    grid.show(positions);
    const isAll = positions.length === facts.count;
    say(isAll ? counted(facts.count) : `${counted(positions.length)} of ${facts.count.toLocaleString("en")}`);
    all.hidden = isAll;
  } catch (error) {
    complain(error);
  }
}

/** List what a search finds. */
async function listed(search: () => Promise<Found[]>, what: string): Promise<void> {
  const number = ++latest;
  say("Searching…");
  try {
    const found = await search();
    if (number !== latest) return;
    scores = new Map(found.map(({ position, similarity }) => [position, similarity]));
    grid.show(Int32Array.from(found, ({ position }) => position));
    say(`${counted(found.length)} ${what}`);
    all.hidden = false;
    grid.focus(0);
  } catch (error) {
    complain(error);
  }
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
  [seen, also, text.value] = [[], [], ""];
  element("title", HTMLElement).textContent = document.title = name;
  choices(codes, facts.describers.map((one) => [one, one]));
  element("by-codes", HTMLElement).hidden = facts.describers.length < 2;
  // A value begins with a mark, so that an empty label is not taken for none.
  choices(label, [["", "all"], ...facts.labels.map(([one, count]) => [`=${one}`, `${one} (${count.toLocaleString("en")})`] as const)]);
  element("by-label", HTMLElement).hidden = !facts.labels.length;
  await filter();
  await follow();
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

let typing = 0;
text.addEventListener("input", () => {
  clearTimeout(typing);
  typing = setTimeout(() => void filter(), 150) as unknown as number;
});
label.addEventListener("change", () => void filter());
element("tools", HTMLFormElement).addEventListener("submit", (event) => {
  event.preventDefault();
  void filter();
});
all.addEventListener("click", () => {
  [text.value, label.value] = ["", ""];
  void filter();
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
    void listed(async () => worker.like(file, FOUND, codes.value), `like ${file.name}, the nearest first`);
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
