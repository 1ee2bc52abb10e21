/** Conditions that images are held to, as rows of fields: a column, an operator, a value. */

import type { Condition, Operator } from "../../reader/src/index.ts";

const OWN: Readonly<Record<string, string>> = {
  width: "int64", height: "int64", length: "int64", quality: "int64", kind: "string",
};
const SHOWN: Readonly<Record<string, string>> = { length: "bytes", kind: "stored as" };

const NUMBERS: readonly (readonly [Operator, string])[] = [[">=", "at least"], ["<=", "at most"], ["=", "is"]];
const TEXTS: readonly (readonly [Operator, string])[] = [["contains", "contains"], ["=", "is"], ["!=", "is not"]];
const TIMES: readonly (readonly [Operator, string])[] = [[">=", "from"], ["<=", "until"], ["=", "is"]];
const BOOLS: readonly (readonly [Operator, string])[] = [["=", "is true"], ["!=", "is false"]];

const INPUTS: Readonly<Record<string, string>> = {
  int64: "number", float64: "number", date: "date", timestamp: "datetime-local", timestamp_utc: "datetime-local",
};

/** The rows. */
export class Conditions {
  readonly #rows: HTMLElement;
  readonly #changed: () => void;
  #types: Readonly<Record<string, string>> = OWN;

  /**
   * @param rows what holds them.
   * @param changed called after every change.
   */
  constructor(rows: HTMLElement, changed: () => void) {
    [this.#rows, this.#changed] = [rows, changed];
  }

  /** Take the columns of another archive; all rows go. */
  open(columns: Readonly<Record<string, string>>): void {
    this.#types = { ...columns, ...OWN };
    this.#rows.replaceChildren();
  }

  /** Take all rows away. */
  clear(): void {
    this.#rows.replaceChildren();
  }

  /** How many rows there are. */
  get count(): number {
    return this.#rows.childElementCount;
  }

  /** What the rows ask for; those without a value ask for nothing. */
  get value(): Condition[] {
    return [...this.#rows.children].flatMap((row): Condition[] => {
      const [column, operator] = [...row.querySelectorAll("select")].map(({ value }) => value) as [string, Operator];
      const type = this.#types[column]!;
      const given = row.querySelector("input")!.value;
      if (type === "bool") return [{ column, operator: "=", value: operator === "=" }];
      if (!given) return [];
      if (type === "int64" && /^-?\d+$/.test(given)) return [{ column, operator, value: BigInt(given) }];
      if (type === "int64" || type === "float64") return [{ column, operator, value: Number(given) }];
      const isShort = type.startsWith("timestamp") && given.length === 16;
      return [{ column, operator, value: isShort ? `${given}:00` : given }];
    });
  }

  /** Add a row, and go there. */
  add(): void {
    const row = document.createElement("li");
    const column = choice("Column", Object.keys(this.#types).map((name) => [name, SHOWN[name] ?? name]));
    const operator = choice("How it is compared", []);
    const value = document.createElement("input");
    value.ariaLabel = "Value";
    value.step = "any";
    const remove = document.createElement("button");
    [remove.type, remove.textContent, remove.ariaLabel] = ["button", "×", "Remove this condition"];
    const typed = (): void => {
      const type = this.#types[column.value]!;
      const operators = type === "bool" ? BOOLS : type === "string" ? TEXTS : type in INPUTS && INPUTS[type] !== "number" ? TIMES : NUMBERS;
      operator.replaceChildren(...operators.map(([one, shown]) => new Option(shown, one)));
      [value.type, value.value, value.hidden] = [INPUTS[type] ?? "search", "", type === "bool"];
    };
    typed();
    column.addEventListener("change", () => {
      typed();
      this.#changed();
    });
    operator.addEventListener("change", this.#changed);
    value.addEventListener("input", this.#changed);
    remove.addEventListener("click", () => {
      row.remove();
      this.#changed();
    });
    row.append(column, operator, value, remove);
    this.#rows.append(row);
    column.focus();
  }
}

function choice(label: string, options: readonly (readonly [value: string, shown: string])[]): HTMLSelectElement {
  const made = document.createElement("select");
  made.ariaLabel = label;
  made.replaceChildren(...options.map(([value, shown]) => new Option(shown, value)));
  return made;
}
