/** A map: images in a plane, near each other where their codes are alike. */

import type { MapData, View, ViewHost } from "./data.ts";
import { made } from "./data.ts";

const CELL = 76; // pixels of a picture and its gap
const REACH = 10; // pixels from a point within which it is meant
const MOST = 400; // times as large as the whole
const SETTLED = 90; // milliseconds

/** Show it. */
export function showMap(root: HTMLElement, data: MapData, host: ViewHost): View {
  return new MapView(root, data, host);
}

class MapView implements View {
  readonly #host: ViewHost;
  readonly #data: MapData;
  readonly #plane = made("div", "", "plane");
  readonly #canvas = made("canvas");
  readonly #list = made("ul", "", "pictures");
  readonly #withPictures = made("input");
  readonly #extent: readonly [number, number];
  /** Pixels of the whole, and where its middle lies from that of the plane. */
  #zoom = 1;
  #middle = { x: 0.5, y: 0.5 };
  #isListed: Uint8Array | null = null;
  #planned = 0;
  #settling = 0;
  readonly #fingers = new Map<number, { x: number; y: number }>();
  #moved = false;

  constructor(root: HTMLElement, data: MapData, host: ViewHost) {
    [this.#data, this.#host] = [data, host];
    const side = (of: readonly number[]): number => of.reduce((most, one) => Math.max(most, one), 1) / 65535;
    this.#extent = [side(data.x), side(data.y)];
    this.#middle = { x: this.#extent[0] / 2, y: this.#extent[1] / 2 };
    const tools = made("div", "", "map-tools");
    const tool = (text: string, label: string, act: () => void): HTMLButtonElement => {
      const button = made("button", text);
      [button.type, button.ariaLabel, button.title] = ["button", label, label];
      button.addEventListener("click", act);
      return button;
    };
    const pictures = made("label");
    [this.#withPictures.type, this.#withPictures.checked] = ["checkbox", true];
    this.#withPictures.addEventListener("change", () => this.#plan());
    pictures.append(this.#withPictures, " Pictures");
    tools.append(
      tool("+", "Zoom in", () => this.#scale(1.6)),
      tool("−", "Zoom out", () => this.#scale(1 / 1.6)),
      tool("Whole", "Show the whole map", () => this.#whole()),
      pictures,
      made("span", `by the codes ${data.codes}; this plane holds ${Math.round(100 * data.share)} % of what tells them apart`),
    );
    this.#canvas.setAttribute("aria-hidden", "true");
    this.#list.ariaLabel = "Images on the map; arrows move among them, plus and minus zoom";
    this.#plane.append(this.#canvas, this.#list);
    root.replaceChildren(tools, this.#plane);
    this.#listen();
    new ResizeObserver(() => this.#plan()).observe(this.#plane);
  }

  listed(positions: Int32Array): void {
    const { images } = this.#data;
    this.#isListed = positions.length < images ? new Uint8Array(images) : null;
    if (this.#isListed) for (const position of positions) this.#isListed[position] = 1;
    this.#plan();
  }

  shown(isShown: boolean): void {
    if (isShown) this.#plan();
  }

  #listen(): void {
    const plane = this.#plane;
    plane.addEventListener("wheel", (event) => {
      event.preventDefault();
      this.#scale(Math.exp(-event.deltaY / 400), this.#at(event));
    }, { passive: false });
    plane.addEventListener("pointerdown", (event) => {
      this.#fingers.set(event.pointerId, this.#at(event));
      this.#moved = false;
    });
    plane.addEventListener("pointermove", (event) => this.#drag(event));
    for (const end of ["pointerup", "pointercancel"] as const) {
      plane.addEventListener(end, (event) => this.#fingers.delete(event.pointerId));
    }
    plane.addEventListener("click", (event) => {
      if (this.#moved) return event.preventDefault();
      const button = event.target instanceof Element ? event.target.closest<HTMLElement>(".cell") : null;
      const position = button ? Number(button.dataset["position"]) : this.#nearest(this.#at(event));
      if (position !== null) this.#host.opened(position);
    });
    plane.addEventListener("keydown", (event) => this.#pressed(event));
    plane.addEventListener("focusin", ({ target }) => {
      for (const cell of this.#cells()) cell.tabIndex = cell === target ? 0 : -1;
    });
  }

  #at(event: MouseEvent): { x: number; y: number } {
    const { left, top } = this.#plane.getBoundingClientRect();
    return { x: event.clientX - left, y: event.clientY - top };
  }

  #drag(event: PointerEvent): void {
    const before = this.#fingers.get(event.pointerId);
    if (!before) return;
    const now = this.#at(event);
    if (!this.#moved && Math.hypot(now.x - before.x, now.y - before.y) < 5) return;
    this.#moved = true;
    if (!this.#plane.hasPointerCapture(event.pointerId)) this.#plane.setPointerCapture(event.pointerId);
    const other = [...this.#fingers].find(([id]) => id !== event.pointerId)?.[1];
    if (other) {
      const apart = (one: { x: number; y: number }): number => Math.max(1, Math.hypot(one.x - other.x, one.y - other.y));
      this.#scale(apart(now) / apart(before), other);
    } else {
      this.#move(before.x - now.x, before.y - now.y);
    }
    this.#fingers.set(event.pointerId, now);
  }

  /** Pixels of the longest side of the data. */
  #size(): number {
    const [across, down] = this.#extent;
    const { clientWidth, clientHeight } = this.#plane;
    return Math.max(1, Math.min((clientWidth - CELL) / across, (clientHeight - CELL) / down)) * this.#zoom;
  }

  #move(x: number, y: number): void {
    const size = this.#size();
    const within = (value: number, most: number): number => Math.max(0, Math.min(most, value));
    this.#middle = { x: within(this.#middle.x + x / size, this.#extent[0]), y: within(this.#middle.y + y / size, this.#extent[1]) };
    this.#plan();
  }

  /** Zoom, so that what lies at a place stays there. */
  #scale(times: number, at = { x: this.#plane.clientWidth / 2, y: this.#plane.clientHeight / 2 }): void {
    const [before, dx, dy] = [this.#size(), at.x - this.#plane.clientWidth / 2, at.y - this.#plane.clientHeight / 2];
    this.#zoom = Math.max(1, Math.min(MOST, this.#zoom * times));
    const after = this.#size();
    this.#middle = { x: this.#middle.x + dx / before - dx / after, y: this.#middle.y + dy / before - dy / after };
    this.#move(0, 0);
  }

  #whole(): void {
    this.#zoom = 1;
    this.#middle = { x: this.#extent[0] / 2, y: this.#extent[1] / 2 };
    this.#plan();
  }

  #plan(): void {
    if (this.#planned) return;
    this.#planned = requestAnimationFrame(() => {
      this.#planned = 0;
      if (!this.#plane.clientWidth) return;
      this.#draw();
      clearTimeout(this.#settling);
      this.#settling = setTimeout(() => this.#placePictures(), SETTLED) as unknown as number;
    });
  }

  /** Each point that is seen: its place among the data, and on the plane. */
  *#points(): Generator<readonly [position: number, x: number, y: number]> {
    const { x, y, positions } = this.#data;
    const size = this.#size();
    const { clientWidth, clientHeight } = this.#plane;
    const [left, top] = [clientWidth / 2 - this.#middle.x * size, clientHeight / 2 - this.#middle.y * size];
    for (let at = 0; at < x.length; at++) {
      const [across, down] = [left + (x[at]! / 65535) * size, top + (y[at]! / 65535) * size];
      if (across < -4 || down < -4 || across > clientWidth + 4 || down > clientHeight + 4) continue;
      yield [positions ? positions[at]! : at, across, down];
    }
  }

  #draw(): void {
    const [ratio, { clientWidth, clientHeight }] = [devicePixelRatio || 1, this.#plane];
    [this.#canvas.width, this.#canvas.height] = [Math.round(clientWidth * ratio), Math.round(clientHeight * ratio)];
    const context = this.#canvas.getContext("2d");
    if (!context) return;
    context.scale(ratio, ratio);
    const style = getComputedStyle(this.#plane);
    const [ink, faint] = [style.getPropertyValue("--accent"), style.getPropertyValue("--line")];
    const dot = Math.min(6, 2 + Math.log2(this.#zoom));
    for (const isOn of this.#isListed ? [false, true] : [true]) {
      context.fillStyle = isOn ? ink : faint;
      for (const [position, x, y] of this.#points()) {
        if (this.#isListed && Boolean(this.#isListed[position]) !== isOn) continue;
        context.fillRect(x - dot / 2, y - dot / 2, dot, dot);
      }
    }
    // Pictures go along until they are placed anew.
    this.#list.classList.add("moving");
  }

  /** In each cell of the plane the picture that is nearest to its middle. */
  #placePictures(): void {
    const chosen = new Map<string, { position: number; far: number; column: number; row: number }>();
    if (this.#withPictures.checked) {
      for (const [position, x, y] of this.#points()) {
        if (this.#isListed && !this.#isListed[position]) continue;
        const [column, row] = [Math.floor(x / CELL), Math.floor(y / CELL)];
        if (column < 0 || row < 0 || (column + 1) * CELL > this.#plane.clientWidth || (row + 1) * CELL > this.#plane.clientHeight) continue;
        const far = (x - (column + 0.5) * CELL) ** 2 + (y - (row + 0.5) * CELL) ** 2;
        const key = `${row} ${column}`;
        if (far < (chosen.get(key)?.far ?? Infinity)) chosen.set(key, { position, far, column, row });
      }
    }
    const focused = document.activeElement instanceof HTMLElement && this.#list.contains(document.activeElement)
      ? document.activeElement.dataset["position"] : undefined;
    const places = [...chosen.values()].sort((a, b) => a.row - b.row || a.column - b.column);
    const known = new Map([...this.#list.children].map((item) => [(item.firstElementChild as HTMLElement).dataset["position"], item as HTMLElement]));
    const items = places.map(({ position, column, row }) => {
      let item = known.get(String(position));
      if (!item) {
        item = made("li");
        const button = made("button", "", "cell");
        button.type = "button";
        button.tabIndex = -1;
        this.#host.cell(button, position);
        item.append(button);
      }
      item.style.transform = `translate(${column * CELL}px, ${row * CELL}px)`;
      return item;
    });
    this.#list.replaceChildren(...items);
    this.#list.classList.remove("moving");
    const cells = this.#cells();
    const again = cells.find((cell) => cell.dataset["position"] === focused);
    for (const cell of cells) cell.tabIndex = -1;
    const first = again ?? cells[Math.floor(cells.length / 2)];
    if (first) first.tabIndex = 0;
    if (focused !== undefined) first?.focus({ preventScroll: true });
    this.#host.see(places.map(({ position }) => position));
  }

  #cells(): HTMLButtonElement[] {
    return [...this.#list.querySelectorAll<HTMLButtonElement>(".cell")];
  }

  #nearest(at: { x: number; y: number }): number | null {
    let [best, least] = [null as number | null, REACH ** 2];
    for (const [position, x, y] of this.#points()) {
      const far = (x - at.x) ** 2 + (y - at.y) ** 2;
      if (far < least) [best, least] = [position, far];
    }
    return best;
  }

  #pressed(event: KeyboardEvent): void {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const steps: Readonly<Record<string, readonly [number, number]>> = {
      ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1],
    };
    const step = steps[event.key];
    if (step) {
      event.preventDefault();
      this.#step(...step);
    } else if (event.key === "+" || event.key === "=") {
      this.#scale(1.6, this.#focusedAt());
    } else if (event.key === "-") {
      this.#scale(1 / 1.6, this.#focusedAt());
    } else if (event.key === "0") {
      this.#whole();
    }
  }

  #boxOf(cell: HTMLElement): { x: number; y: number } {
    const [{ left, top, width, height }, plane] = [cell.getBoundingClientRect(), this.#plane.getBoundingClientRect()];
    return { x: left - plane.left + width / 2, y: top - plane.top + height / 2 };
  }

  #focusedAt(): { x: number; y: number } | undefined {
    const one = this.#cells().find((cell) => cell === document.activeElement);
    return one && this.#boxOf(one);
  }

  /** Go to the nearest picture in a direction; at the edge the map moves. */
  #step(x: number, y: number): void {
    const from = this.#focusedAt();
    if (!from) return;
    const ahead = this.#cells().flatMap((cell) => {
      const box = this.#boxOf(cell);
      const along = (box.x - from.x) * x + (box.y - from.y) * y;
      const beside = Math.abs((box.x - from.x) * y) + Math.abs((box.y - from.y) * x);
      return along > 1 && beside <= 2 * along ? [{ cell, far: along + 2 * beside }] : [];
    });
    ahead.sort((a, b) => a.far - b.far);
    if (ahead[0]) ahead[0].cell.focus({ preventScroll: true });
    else this.#move((x * this.#plane.clientWidth) / 4, (y * this.#plane.clientHeight) / 4);
  }
}
