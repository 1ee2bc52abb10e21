/** The elements of the page, by their ids. */

/** Give an element; it is there, for the page and its script come together. */
export function element<T extends HTMLElement>(id: string, sort: { new (): T; prototype: T }): T {
  const found = document.getElementById(id);
  if (found instanceof sort) return found;
  throw new Error(`the page has no ${id}; load it again`);
}
