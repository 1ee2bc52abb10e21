/** What the archive takes beside files of the same pictures. */

import type { CostData, View } from "./data.ts";
import { made, number } from "./data.ts";

/** Show it as a table. */
export function showCosts(root: HTMLElement, data: CostData): View {
  const { bytes, payloads, images, sample, sample_payloads, seed, files } = data;
  const table = made("table");
  table.append(made("caption", `A picture, on the average of ${number(sample)} of ${number(images)} pictures (chosen by chance, seed ${seed})`));
  const each = (size: number | null): string => (size === null ? "–" : number(Math.round(size / sample)));
  const beside = (size: number | null): string => (size === null ? "–" : `${(size / sample_payloads).toFixed(2)} ×`);
  const rows: [string, string, string][] = [["Payload in this archive", each(sample_payloads), "1"]];
  for (const { psnr, bytes: sizes } of files) {
    for (const [form, size] of Object.entries(sizes)) rows.push([`${form} file, ${psnr} dB from it`, each(size), beside(size)]);
  }
  const head = made("tr");
  head.append(...["", "Bytes", "Beside the payload"].map((one) => {
    const cell = made("th", one);
    cell.scope = "col";
    return cell;
  }));
  const body = made("tbody");
  for (const [name, size, share] of rows) {
    const [row, first] = [made("tr"), made("th", name)];
    first.scope = "row";
    row.append(first, made("td", size), made("td", share));
    body.append(row);
  }
  const top = made("thead");
  top.append(head);
  table.append(top, body);
  const overhead = Math.round((bytes - payloads) / images);
  root.replaceChildren(
    made("p", `The archive has ${number(bytes)} bytes for ${number(images)} images: ${number(Math.round(bytes / images))} an image, everything counted, its codec too. Payloads are ${number(payloads)} bytes; the rest, ${number(overhead)} an image, is names, columns, codes, sums and the codec.`, "told"),
    table,
    made("p", "Files are made of the pictures as the archive gives them back, at the lowest quality whose mean PSNR against these is at least what is stated. They say what an export would take, and not what files of the originals would: the originals are not here, and what the archive has lost of them is not counted. kinpack estimate measures with originals.", "told"),
  );
  root.tabIndex = 0;
  return { listed: () => undefined, shown: (isShown) => isShown && undefined };
}
