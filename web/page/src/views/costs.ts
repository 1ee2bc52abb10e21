/** What the archive takes beside files of the same pictures. */

import type { CostData, View } from "./data.ts";
import { made, number } from "./data.ts";

const FORMS: Readonly<Record<string, string>> = { jpeg: "JPEG", webp: "WebP", avif: "AVIF" };

/** Show it as a table. */
export function showCosts(root: HTMLElement, data: CostData): View {
  const { bytes, shared, payloads, transparent, images, sample, sample_payloads, seed, files } = data;
  const table = made("table");
  table.append(made("caption", `A picture of ${number(sample)} that were chosen by chance (seed ${seed}), on average`));
  const each = (size: number | null): string => (size === null ? "–" : number(Math.round(size / sample)));
  const beside = (size: number | null): string => (size === null ? "–" : `${(size / sample_payloads).toFixed(2)} ×`);
  const rows: [string, string, string][] = [["Payload in this archive", each(sample_payloads), "1"]];
  for (const { psnr, bytes: sizes } of files) {
    for (const [form, size] of Object.entries(sizes)) rows.push([`${FORMS[form] ?? form} file, ${psnr} dB`, each(size), beside(size)]);
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
  const rest = Math.round((bytes - shared - payloads) / images);
  const lines = [
    `The archive takes ${number(bytes)} bytes. Of these ${number(shared)} are the codec and the describers, however many images there are. ` +
      `Of the others each of ${number(images)} images takes ${number(Math.round((bytes - shared) / images))}: ` +
      `${number(Math.round(payloads / images))} are its payload, ${number(rest)} its name, columns, codes and sums.`,
    "Files are made of the pictures as the archive gives them back, at the lowest quality whose mean PSNR against these is at " +
      "least what is stated. They say what an export would take, and not what files of the originals would: these are not here, " +
      "and what the archive has lost of them is not counted. With the originals, kinpack estimate measures it.",
  ];
  if (transparent) lines.push(`${number(transparent)} pictures of the sample have alpha, and are laid on white in files.`);
  root.replaceChildren(made("p", lines[0], "told"), table, ...lines.slice(1).map((line) => made("p", line, "told")));
  root.tabIndex = 0;
  return { listed: () => undefined, shown: () => undefined };
}
