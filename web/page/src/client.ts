/** The worker, as the page sees it. */

import type { Answer, Calls, Drawn, Question } from "./calls.ts";

interface Waiting {
  readonly done: (value: unknown) => void;
  readonly failed: (error: Error) => void;
}

/** What the worker refused; a word that is not known comes with such as are spelt like it. */
export class Refused extends Error {
  readonly suggestions: readonly string[];

  constructor(message: string, suggestions: readonly string[]) {
    super(message);
    this.suggestions = suggestions;
  }
}

/** Start the worker; what it draws goes to `drawn`. */
export function startWorker(drawn: (one: Drawn) => void): Calls {
  const worker = new Worker(new URL("worker.js", import.meta.url), { type: "module" });
  const waiting = new Map<number, Waiting>();
  let last = 0;
  worker.onmessage = ({ data }: MessageEvent<Answer>) => {
    if ("drawn" in data) return drawn(data.drawn);
    const one = waiting.get(data.number);
    waiting.delete(data.number);
    if ("fault" in data) one?.failed(new Refused(data.fault, data.suggestions));
    else one?.done(data.value);
  };
  worker.onerror = () => {
    for (const one of waiting.values()) one.failed(new Error("the page's worker did not start; load the page again"));
    waiting.clear();
  };
  const ask = (call: keyof Calls, given: readonly unknown[]): Promise<unknown> =>
    new Promise((done, failed) => {
      waiting.set(++last, { done, failed });
      worker.postMessage({ number: last, call, given } satisfies Question);
    });
  return new Proxy({} as Calls, { get: (_, call) => (...given: unknown[]) => ask(call as keyof Calls, given) });
}
