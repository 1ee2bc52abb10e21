/** The views beside the grid: what was computed of the archive, loaded when it is looked at. */

import type { ClusterData, Computed, CostData, DuplicateData, MapData, View, ViewHost } from "./data.ts";
import { made } from "./data.ts";

/** Names of all views, as data files have them, and as the page calls them. */
export const VIEWS: Readonly<Record<string, string>> = {
  map: "Map", clusters: "Clusters", duplicates: "Duplicates", cost: "Cost",
};

const MOST_BYTES = 1 << 27; // of a file of data

/**
 * Load and show a view.
 *
 * @param revision the one that the page shows, and its images; data of another one are refused.
 * @throws Error the data are not there, or do not fit.
 */
export async function loadView(root: HTMLElement, name: string, revision: Computed, host: ViewHost): Promise<View> {
  const data = await load(`${name}.json`, revision);
  try {
    switch (name) {
      case "map":
        return (await import("./map.ts")).showMap(root, data as MapData, host);
      case "clusters":
        return (await import("./strips.ts")).showClusters(root, data as ClusterData, host);
      case "duplicates":
        return (await import("./strips.ts")).showDuplicates(root, data as DuplicateData, host);
      default:
        return (await import("./costs.ts")).showCosts(root, data as CostData);
    }
  } catch (error) {
    throw new Error(`${name}.json cannot be shown (${error instanceof Error ? error.message : String(error)}); make the site anew`);
  }
}

async function load(file: string, { revision, images }: Computed): Promise<Computed> {
  let data: Partial<Computed> & { error?: string };
  try {
    const answer = await fetch(file);
    if (Number(answer.headers.get("Content-Length") ?? 0) > MOST_BYTES) throw new Error("it is too long");
    data = (await answer.json()) as typeof data;
    if (!answer.ok) throw new Error(data.error ?? `the server answers ${answer.status}`);
  } catch (error) {
    throw new Error(`${file} cannot be read: ${error instanceof Error ? error.message : String(error)}`);
  }
  if (data.revision !== revision || data.images !== images) {
    throw new Error(`${file} is of another revision of the archive than this page shows; load the page again`);
  }
  return data as Computed;
}

/** Show what is being waited for, or what is wrong. */
export function tell(root: HTMLElement, line: string): void {
  root.replaceChildren(made("p", line, "told"));
}
