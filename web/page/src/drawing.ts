/** Pictures that are no single file, drawn of their layers. */

import type { AlphaPlane, Layers } from "../../reader/src/index.ts";

const MOST_PIXELS = 2 ** 25; // of a picture on a page; larger ones are drawn smaller

/** Draw an image as a PNG file. */
export async function drawPicture(layers: readonly Layers[], width: number, height: number): Promise<Blob> {
  const scale = Math.min(1, Math.sqrt(MOST_PIXELS / (width * height)));
  const [across, down] = [Math.max(1, Math.round(width * scale)), Math.max(1, Math.round(height * scale))];
  const [canvas, context] = canvasOf(across, down);
  for (const layer of layers) {
    const { left, top } = layer;
    const pixels = await layerPixels(layer);
    if (scale === 1) {
      context.putImageData(pixels, left, top);
    } else {
      const part = await createImageBitmap(pixels);
      context.drawImage(part, left * scale, top * scale, layer.width * scale, layer.height * scale);
    }
  }
  return canvas.convertToBlob({ type: "image/png" });
}

/** The pixels of a layer: red, green, blue and alpha, which the colours are not multiplied by. */
export async function layerPixels({ width, height, colour, alpha }: Layers): Promise<ImageData> {
  let made: ImageData;
  if (colour.kind === "file") {
    made = await filePixels(colour.mediaType, colour.data);
    if (made.width !== width || made.height !== height) throw new Error("a picture has another size than was stated");
    if (colour.isGreen) eachPixel(made, (data, at) => (data[at] = data[at + 2] = data[at + 1]!));
  } else {
    made = new ImageData(width, height);
    const { channels, data: from } = colour;
    eachPixel(made, (data, at) => {
      for (let c = 0; c < 3; c++) data[at + c] = from[(at / 4) * channels + (channels === 1 ? 0 : c)]!;
      data[at + 3] = 255;
    });
  }
  if (alpha) {
    const plane = await planeOf(alpha, width, height);
    eachPixel(made, (data, at) => (data[at + 3] = plane[at / 4]!));
  }
  return made;
}

async function planeOf(alpha: AlphaPlane, width: number, height: number): Promise<ArrayLike<number>> {
  if (alpha.kind === "bytes") return alpha.data;
  const { data } = await filePixels(alpha.mediaType, alpha.data);
  return Uint8Array.from({ length: width * height }, (_, at) => {
    const [x, y] = [at % width, Math.floor(at / width)];
    return data[4 * (alpha.transposed ? x * height + y : at) + 1]!;
  });
}

function eachPixel({ data }: ImageData, change: (data: Uint8ClampedArray, at: number) => void): void {
  for (let at = 0; at < data.length; at += 4) change(data, at);
}

/** The pixels of a picture file, as it is shown; colours are not multiplied by its alpha. */
export async function filePixels(type: string, data: Uint8Array): Promise<ImageData> {
  const file = new Blob([data as Uint8Array<ArrayBuffer>], { type });
  return (await decodedPixels(file)) ?? canvasPixels(file);
}

/** The pixels of a file whose decoder gives red, green and blue; null of all others. */
async function decodedPixels(file: Blob): Promise<ImageData | null> {
  // A canvas multiplies colours by their alpha, and rounds. This is there in pages of this machine or
  // behind https alone, and not in every browser.
  if (!("ImageDecoder" in globalThis) || !(await ImageDecoder.isTypeSupported(file.type))) return null;
  const decoder = new ImageDecoder({
    type: file.type,
    data: await file.arrayBuffer(),
    colorSpaceConversion: "none",
  });
  try {
    const { image } = await decoder.decode();
    try {
      const [width, height] = [image.displayWidth, image.displayHeight];
      if (!/^(RGB|BGR)/.test(image.format ?? "")) return null;
      const made = new ImageData(width, height);
      await image.copyTo(made.data); // as it is: to ask for another order multiplies by alpha
      const [isOpaque, isTurned] = [image.format!.endsWith("X"), image.format!.startsWith("B")];
      eachPixel(made, (data, at) => {
        if (isTurned) [data[at], data[at + 2]] = [data[at + 2]!, data[at]!];
        if (isOpaque) data[at + 3] = 255;
      });
      return made;
    } finally {
      image.close();
    }
  } finally {
    decoder.close();
  }
}

async function canvasPixels(file: Blob): Promise<ImageData> {
  const picture = await createImageBitmap(file, { colorSpaceConversion: "none", premultiplyAlpha: "none" });
  const [, context] = canvasOf(picture.width, picture.height);
  context.drawImage(picture, 0, 0);
  return context.getImageData(0, 0, picture.width, picture.height);
}

function canvasOf(width: number, height: number): [OffscreenCanvas, OffscreenCanvasRenderingContext2D] {
  const canvas = new OffscreenCanvas(width, height);
  const context = canvas.getContext("2d", { willReadFrequently: true });
  if (!context) throw new Error("this browser gives no canvas of that size");
  return [canvas, context];
}
