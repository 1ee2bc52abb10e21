/** Groups of images, each a strip: clusters, and duplicates side by side. */

import type { ClusterData, DuplicateData, View, ViewHost } from "./data.ts";
import { made, number } from "./data.ts";

const TOGETHER = 100; // strips that are added at a time
const OF_CLUSTER = 24; // images of a cluster that are shown

interface Strip {
  readonly title: string;
  readonly note: string;
  readonly tiles: readonly { readonly position: number; readonly note: string }[];
  readonly all: Int32Array | null;
}

/** Show clusters. */
export function showClusters(root: HTMLElement, data: ClusterData, host: ViewHost): View {
  const strips = data.clusters.map((positions, at): Strip => ({
    title: `Cluster ${at + 1}`,
    note: `${number(positions.length)} images`,
    tiles: positions.slice(0, OF_CLUSTER).map((position) => ({ position, note: "" })),
    all: Int32Array.from(positions),
  }));
  return showStrips(root, `${number(strips.length)} clusters by the codes ${data.codes}; of each the images nearest to its middle come first.`, strips, host);
}

const BANDS: Readonly<Record<string, string>> = { exact: "Exact copies", same: "The same picture", alike: "Alike" };

/** Show duplicates. */
export function showDuplicates(root: HTMLElement, data: DuplicateData, host: ViewHost): View {
  const strips = data.groups.map(({ band, kept, others }): Strip => ({
    title: BANDS[band] ?? band,
    note: `${number(others.length + 1)} images; the first is the one to keep`,
    tiles: [
      { position: kept, note: "to keep" },
      ...others.map(({ position, similarity, changes, band: own }) => ({
        position,
        note: own === "exact" ? "the same pixels" : [similarity.toFixed(2), ...changes].join(", "),
      })),
    ],
    all: Int32Array.from([kept, ...others.map(({ position }) => position)]),
  }));
  const copies = data.groups.reduce((sum, { others }) => sum + others.length, 0);
  const told = strips.length
    ? `${number(strips.length)} groups among ${number(data.images)} images; ${number(copies)} images are copies of others, or alike. Numbers tell how far two pictures are the same, 1 at most.`
    : `Among ${number(data.images)} images no two are the same, or alike.`;
  return showStrips(root, told, strips, host, "large");
}

function showStrips(root: HTMLElement, told: string, strips: readonly Strip[], host: ViewHost, className = ""): View {
  const more = made("button", "Show more");
  const list = made("ol", "", `strips ${className}`);
  root.replaceChildren(made("p", told, "told"), list, more);
  const near = new Set<Element>();
  const see = (): void => {
    const inside = [...list.children].filter((one) => near.has(one));
    host.see(inside.flatMap((one) => [...one.querySelectorAll<HTMLElement>(".cell")].map(({ dataset }) => Number(dataset["position"]))));
  };
  const watch = new IntersectionObserver((entries) => {
    for (const { target, isIntersecting } of entries) {
      if (isIntersecting) near.add(target);
      else near.delete(target);
      const strip = strips[Number((target as HTMLElement).dataset["strip"])]!;
      if (isIntersecting && !target.querySelector(".tiles")?.childElementCount) fill(target, strip);
    }
    see();
  }, { root, rootMargin: "200px" });
  const fill = (item: Element, { tiles }: Strip): void => {
    item.querySelector(".tiles")!.replaceChildren(
      ...tiles.map(({ position, note }) => {
        const [tile, button] = [made("li"), made("button", "", "cell")];
        button.type = "button";
        button.addEventListener("click", () => host.opened(position));
        host.cell(button, position);
        tile.append(button);
        if (note) tile.append(made("span", note));
        return tile;
      }),
    );
  };
  const add = (): void => {
    const first = list.childElementCount;
    for (const [at, strip] of strips.slice(first, first + TOGETHER).entries()) {
      const item = made("li");
      item.dataset["strip"] = String(first + at);
      const [head, title, all] = [made("div", "", "head"), made("h2", strip.title), made("button", "Show in the grid")];
      all.type = "button";
      all.ariaLabel = `Show in the grid: ${strip.title.toLowerCase()}, ${strip.note}`;
      all.addEventListener("click", () => host.list(strip.all!, `of ${strip.title.toLowerCase()}`));
      head.append(title, made("span", strip.note), all);
      item.append(head, made("ul", "", "tiles"));
      list.append(item);
      watch.observe(item);
    }
    more.hidden = list.childElementCount >= strips.length;
  };
  more.type = "button";
  more.addEventListener("click", add);
  add();
  return { listed: () => undefined, shown: (isShown) => isShown && see() };
}
