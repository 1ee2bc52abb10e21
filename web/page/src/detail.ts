/** One image: its picture, what is known of it, and what is alike. */

import type { ImageEntry } from "../../reader/src/index.ts";
import type { Calls } from "./calls.ts";
import { element } from "./elements.ts";
import type { Picture } from "./pictures.ts";

const ALIKE = 12;
const SMALL = 200; // pixels along the longer side, up to which a picture is shown larger than it is

const KINDS: Readonly<Record<ImageEntry["kind"], string>> = {
  avif: "AVIF", webp: "WebP", webp_lossless: "WebP, lossless", learned: "learned codec", causal: "pixel by pixel, lossless",
};

/** What every image has; all else are columns that users added. */
const OWN = new Set(["id", "label", "width", "height", "channels", "kind", "quality", "length"]);

/** What the dialog asks of the page. */
export interface DetailHost {
  codes(): string;
  cell(button: HTMLButtonElement, position: number, score: number): void;
  picture(position: number): Picture | undefined;
  want(positions: readonly number[]): void;
  /** The image before or after a place of the list, and its place. */
  beside(place: number, step: number): [position: number, place: number] | null;
  closed(place: number | null): void;
  kin(position: number, id: string): void;
  told(error: unknown): void;
}

/** The dialog. */
export class Detail {
  readonly #worker: Calls;
  readonly #host: DetailHost;
  readonly #dialog = element("detail", HTMLDialogElement);
  readonly #figure = element("figure", HTMLElement);
  readonly #save = element("save", HTMLAnchorElement);
  readonly #alike = element("alike", HTMLElement);
  #position = -1;
  #place: number | null = null;
  #entry: ImageEntry | null = null;

  constructor(worker: Calls, host: DetailHost) {
    [this.#worker, this.#host] = [worker, host];
    const on = (id: string, act: () => void): void => element(id, HTMLElement).addEventListener("click", act);
    on("close", () => this.#dialog.close());
    on("before", () => this.#step(-1));
    on("after", () => this.#step(1));
    on("kin", () => {
      const [position, id] = [this.#position, this.#entry?.id ?? ""];
      this.#place = null;
      this.#dialog.close();
      host.kin(position, id);
    });
    this.#dialog.addEventListener("click", (event) => {
      if (event.target === this.#dialog) this.#dialog.close(); // beside what it holds
    });
    this.#dialog.addEventListener("keydown", ({ key, target }) => {
      if (target instanceof Element && this.#alike.contains(target)) return;
      if (key === "ArrowLeft") this.#step(-1);
      if (key === "ArrowRight") this.#step(1);
    });
    this.#dialog.addEventListener("close", () => {
      history.replaceState(null, "", location.pathname + location.search);
      this.#position = -1;
      host.closed(this.#place);
    });
    this.#alike.addEventListener("click", ({ target }) => {
      const cell = target instanceof Element ? target.closest<HTMLElement>(".cell") : null;
      if (cell) void this.open(Number(cell.dataset["position"]), null).then(() => element("close", HTMLElement).focus());
    });
  }

  /**
   * Show an image.
   *
   * @param place in the list; null where it was not taken from there.
   */
  async open(position: number, place: number | null): Promise<void> {
    [this.#position, this.#place] = [position, place ?? this.#place];
    try {
      const [entry] = await this.#worker.entries([position]);
      if (this.#position !== position) return;
      this.#entry = entry!;
    } catch (error) {
      return this.#host.told(error);
    }
    this.#tell(this.#entry);
    for (const [id, step] of [["before", -1], ["after", 1]] as const) {
      element(id, HTMLButtonElement).disabled = this.#place === null || !this.#host.beside(this.#place, step);
    }
    const known = this.#host.picture(position);
    this.#figure.replaceChildren();
    this.#save.hidden = true;
    if (known) this.drawn(position, known);
    this.#alike.replaceChildren();
    if (!this.#dialog.open) this.#dialog.showModal();
    this.#dialog.scrollTop = 0;
    history.replaceState(null, "", `#${new URLSearchParams({ id: this.#entry.id })}`);
    this.#host.want([position]);
    await this.#showKin(position);
  }

  /** Take a picture that was drawn. */
  drawn(position: number, { url, type, isStored, fault }: Picture): void {
    const entry = this.#entry;
    if (position !== this.#position || !entry) return;
    if (!url) {
      const line = document.createElement("p");
      line.textContent = fault;
      this.#figure.replaceChildren(line);
      return;
    }
    const picture = document.createElement("img");
    [picture.alt, picture.src, picture.width, picture.height] = [entry.id, url, entry.width, entry.height];
    picture.style.height = "auto";
    this.#figure.classList.toggle("small", Math.max(entry.width, entry.height) <= SMALL);
    this.#figure.replaceChildren(picture);
    const suffix = type.replace("image/", ".");
    const stem = (entry.id.split("/").at(-1) ?? "image").replace(/\.[A-Za-z0-9]{1,5}$/, "");
    [this.#save.href, this.#save.download, this.#save.hidden] = [url, `${stem}${suffix}`, false];
    this.#save.textContent = isStored ? `Save as stored (${suffix.slice(1)})` : `Save (${suffix.slice(1)})`;
  }

  #step(step: number): void {
    const beside = this.#place === null ? null : this.#host.beside(this.#place, step);
    if (beside) void this.open(...beside);
  }

  #tell(entry: ImageEntry): void {
    element("name", HTMLElement).textContent = entry.id;
    const rows: [string, string][] = [
      ["Pixels", `${entry.width} × ${entry.height}${entry.channels === 1 ? ", grey" : entry.channels === 4 ? ", with alpha" : ""}`],
      ["Stored as", `${KINDS[entry.kind]}, quality ${entry.quality}`],
      ["Bytes", entry.length.toLocaleString("en")],
    ];
    if (entry.label !== null) rows.unshift(["Label", entry.label]);
    for (const [name, value] of Object.entries(entry)) {
      if (!OWN.has(name) && value !== null) rows.push([name, String(value)]);
    }
    element("facts", HTMLElement).replaceChildren(
      ...rows.flatMap(([name, value]) => {
        const [term, told] = [document.createElement("dt"), document.createElement("dd")];
        [term.textContent, told.textContent] = [name, value];
        return [term, told];
      }),
    );
  }

  async #showKin(position: number): Promise<void> {
    const codes = this.#host.codes();
    const title = element("alike-title", HTMLElement);
    title.hidden = element("kin", HTMLElement).hidden = !codes;
    if (!codes) return;
    try {
      const found = (await this.#worker.kin(position, ALIKE + 1, codes)).filter((one) => one.position !== position);
      if (this.#position !== position) return;
      title.textContent = found.length ? "Alike, and how far it is the same picture" : "Nothing is alike";
      this.#alike.replaceChildren(
        ...found.map((one) => {
          const [item, button] = [document.createElement("li"), document.createElement("button")];
          button.type = "button";
          this.#host.cell(button, one.position, one.similarity);
          item.append(button);
          return item;
        }),
      );
      this.#host.want([position, ...found.map((one) => one.position)]);
    } catch (error) {
      title.textContent = error instanceof Error ? error.message : String(error);
    }
  }
}
