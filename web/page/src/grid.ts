/** A grid of any number of images, of which only what is seen exists. */

/** What the grid asks of the page. */
export interface Host {
  /** Positions that are seen now, from the top. */
  seen(positions: readonly number[]): void;
  /** A cell was pressed. */
  opened(place: number): void;
}

const MOST_HEIGHT = 8e6; // pixels; browsers lay out no element that is much higher
const MARGIN = 1; // rows beyond what is seen

/** Cells by their places in a list of positions. */
export class Grid {
  readonly #scroller: HTMLElement;
  readonly #list: HTMLElement;
  readonly #host: Host;
  readonly #cells = new Map<number, HTMLLIElement>();
  readonly #make: (button: HTMLButtonElement, position: number, place: number) => void;
  #positions: Int32Array = new Int32Array(0);
  #size = 160;
  #active = 0;
  #planned = false;

  /**
   * @param scroller what scrolls.
   * @param list in it.
   * @param make fills a new cell.
   */
  constructor(
    scroller: HTMLElement,
    list: HTMLElement,
    host: Host,
    make: (button: HTMLButtonElement, position: number, place: number) => void,
  ) {
    [this.#scroller, this.#list, this.#host, this.#make] = [scroller, list, host, make];
    scroller.addEventListener("scroll", () => this.#plan(), { passive: true });
    new ResizeObserver(() => this.#plan()).observe(scroller);
    list.addEventListener("keydown", (event) => this.#pressed(event));
    list.addEventListener("click", (event) => {
      const place = placeOf(event.target);
      if (place === null) return;
      this.#activate(place);
      host.opened(place);
    });
    list.addEventListener("focusin", (event) => {
      const place = placeOf(event.target);
      if (place !== null) this.#activate(place);
    });
  }

  get positions(): Int32Array {
    return this.#positions;
  }

  /** Show other images, from the first one on. */
  show(positions: Int32Array): void {
    this.#positions = positions;
    this.#active = 0;
    for (const cell of this.#cells.values()) cell.remove();
    this.#cells.clear();
    this.#scroller.scrollTop = 0;
    this.#draw();
  }

  /** Make cells of about another size; what was at the top stays there. */
  resize(size: number): void {
    const first = this.#firstRow() * this.#columns();
    this.#size = size;
    this.#scrollTo(Math.floor(first / this.#columns()));
    this.#plan();
  }

  /** Give the button of a position, where it is seen. */
  *buttons(position: number): Generator<HTMLButtonElement> {
    for (const [place, cell] of this.#cells) {
      if (this.#positions[place] === position) yield cell.firstElementChild as HTMLButtonElement;
    }
  }

  /** Move the focus to a cell, which is brought into sight. */
  focus(place: number): void {
    this.#activate(Math.max(0, Math.min(place, this.#positions.length - 1)));
    const row = Math.floor(this.#active / this.#columns());
    const [first, pitch] = [this.#firstRow(), this.#pitch()];
    const rows = Math.max(1, Math.floor(this.#scroller.clientHeight / pitch));
    if (row < first) this.#scrollTo(row);
    else if (row >= first + rows) this.#scrollTo(row - rows + 1);
    this.#draw();
    (this.#cells.get(this.#active)?.firstElementChild as HTMLElement | undefined)?.focus({ preventScroll: true });
  }

  #columns(): number {
    return Math.max(3, Math.floor(this.#list.clientWidth / this.#size));
  }

  /** Pixels of a cell, its gap among them. */
  #pitch(): number {
    return this.#list.clientWidth / this.#columns();
  }

  #rows(): number {
    return Math.ceil(this.#positions.length / this.#columns());
  }

  /** How far rows scroll for a pixel of the scroller: 1 but in lists too high to be laid out. */
  #stretch(): number {
    const [whole, seen] = [this.#rows() * this.#pitch(), this.#scroller.clientHeight];
    return whole > MOST_HEIGHT ? (whole - seen) / (MOST_HEIGHT - seen) : 1;
  }

  #firstRow(): number {
    return (this.#scroller.scrollTop * this.#stretch()) / this.#pitch();
  }

  #scrollTo(row: number): void {
    this.#list.style.height = `${Math.min(MOST_HEIGHT, this.#rows() * this.#pitch())}px`;
    this.#scroller.scrollTop = (row * this.#pitch()) / this.#stretch();
  }

  #activate(place: number): void {
    const tab = (at: number, index: number): void => {
      const cell = this.#cells.get(at)?.firstElementChild as HTMLElement | undefined;
      if (cell) cell.tabIndex = index;
    };
    tab(this.#active, -1);
    this.#active = place;
    tab(place, 0);
  }

  #plan(): void {
    if (this.#planned) return;
    this.#planned = true;
    requestAnimationFrame(() => {
      this.#planned = false;
      this.#draw();
    });
  }

  #draw(): void {
    const [columns, pitch, count] = [this.#columns(), this.#pitch(), this.#positions.length];
    this.#list.style.height = `${Math.min(MOST_HEIGHT, this.#rows() * pitch)}px`;
    const top = this.#firstRow();
    const shift = this.#scroller.scrollTop - top * pitch;
    const rows = this.#scroller.clientHeight / pitch;
    const first = Math.max(0, Math.floor(top) - MARGIN) * columns;
    const stop = Math.min(count, (Math.ceil(top + rows) + MARGIN) * columns);
    for (const [place, cell] of this.#cells) {
      if (place >= first && place < stop) continue;
      if (cell.contains(document.activeElement)) this.#scroller.focus({ preventScroll: true });
      cell.remove();
      this.#cells.delete(place);
    }
    for (let place = first; place < stop; place++) {
      const cell = this.#cells.get(place) ?? this.#makeCell(place);
      const [row, column] = [Math.floor(place / columns), place % columns];
      cell.style.width = cell.style.height = `${pitch}px`;
      cell.style.transform = `translate(${column * pitch}px, ${row * pitch + shift}px)`;
    }
    if (!this.#cells.has(this.#active) && first < stop) this.#activate(Math.min(stop - 1, Math.max(first, this.#active)));
    const from = Math.max(0, Math.floor(top)) * columns;
    this.#host.seen(Array.from(this.#positions.subarray(from, Math.min(count, Math.ceil(top + rows) * columns))));
  }

  #makeCell(place: number): HTMLLIElement {
    const cell = document.createElement("li");
    cell.ariaSetSize = String(this.#positions.length);
    cell.ariaPosInSet = String(place + 1);
    const button = document.createElement("button");
    button.type = "button";
    button.className = "cell";
    button.dataset["place"] = String(place);
    button.tabIndex = place === this.#active ? 0 : -1;
    this.#make(button, this.#positions[place]!, place);
    cell.append(button);
    // In the order of places, so that a screen reader meets them in it.
    let next: HTMLElement | null = null;
    for (let after = place + 1; !next && after < place + 2 * this.#columns(); after++) next = this.#cells.get(after) ?? null;
    if (!next && this.#cells.size && place < Math.min(...this.#cells.keys())) next = this.#list.firstElementChild as HTMLElement;
    this.#list.insertBefore(cell, next);
    this.#cells.set(place, cell);
    return cell;
  }

  #pressed(event: KeyboardEvent): void {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const columns = this.#columns();
    const page = columns * Math.max(1, Math.floor(this.#scroller.clientHeight / this.#pitch()));
    const steps: Readonly<Record<string, number>> = {
      ArrowLeft: -1, ArrowRight: 1, ArrowUp: -columns, ArrowDown: columns, PageUp: -page, PageDown: page,
      Home: -Infinity, End: Infinity,
    };
    const step = steps[event.key];
    if (step === undefined) return;
    event.preventDefault();
    const to = this.#active + step;
    if (Math.abs(step) === columns && (to < 0 || to >= this.#positions.length)) return;
    this.focus(to);
  }
}

function placeOf(target: EventTarget | null): number | null {
  const button = target instanceof Element ? target.closest<HTMLElement>(".cell") : null;
  return button ? Number(button.dataset["place"]) : null;
}
