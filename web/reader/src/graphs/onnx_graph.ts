/** ONNX graphs of describers: read, and run on one input in float32. */

import { utf8Text } from "../bytes/joining.ts";
import { numbersOf } from "../containers/numbers.ts";
import { Malformed } from "../errors.ts";
import type { Attributes, Tensor } from "./operators.ts";
import { OPERATORS } from "./operators.ts";
import { packedNumbers, readFields } from "./protobuf.ts";
import type { Fields } from "./protobuf.ts";

interface Node {
  readonly operator: string;
  readonly inputs: readonly string[];
  readonly output: string;
  readonly attributes: Attributes;
}

const MOST_BYTES = 2 ** 26;
const MOST_PARTS = 1024;
const MOST_CONSTANTS = 2 ** 25; // numbers of all of them
const TYPES: Readonly<Record<number, string>> = {
  1: "float32", 2: "uint8", 3: "int8", 5: "int16", 6: "int32", 7: "int64", 10: "float16",
};
const SIZES: Readonly<Record<string, number>> = {
  float32: 4, uint8: 1, int8: 1, int16: 2, int32: 4, int64: 8, float16: 2,
};

/** A graph of one input and one output. */
export class OnnxGraph {
  readonly #nodes: readonly Node[];
  readonly #constants: ReadonlyMap<string, Tensor>;
  readonly #input: string;
  readonly #output: string;

  private constructor(nodes: readonly Node[], constants: Map<string, Tensor>, input: string, output: string) {
    this.#nodes = nodes;
    this.#constants = constants;
    this.#input = input;
    this.#output = output;
  }

  /**
   * Read a model.
   *
   * @throws Malformed it is damaged, or holds what describers have no use for.
   */
  static read(data: Uint8Array): OnnxGraph {
    if (data.length > MOST_BYTES) throw new Malformed("a network is too large");
    const model = readFields(data, [1, 2, 3, 4, 5, 6, 7, 8]);
    const operators = readFields(only(model, 8), [1, 2]);
    const [version, opset] = [number(model, 1), number(operators, 2)];
    if (version < 7 || version > 10 || opset < 13 || opset > 17 || text(operators, 1)) {
      throw new Malformed("a network is of another version of ONNX");
    }
    const graph = readFields(only(model, 7), [1, 2, 5, 10, 11, 12], [1, 5, 11, 12]);
    const [described, stored] = [graph.bytes.get(1) ?? [], graph.bytes.get(5) ?? []];
    if (Math.max(described.length, stored.length) > MOST_PARTS) throw new Malformed("a network has too many parts");
    const [input, output] = [valueName(graph, 11), valueName(graph, 12)];
    const constants = new Map<string, Tensor>();
    let total = 0;
    for (const one of stored) {
      const [name, tensor] = readConstant(one);
      total += tensor.data.length;
      if (constants.has(name) || total > MOST_CONSTANTS) throw new Malformed("a network has too many constants, or one twice");
      constants.set(name, tensor);
    }
    const known = new Set([input, ...constants.keys()]);
    if (known.size !== constants.size + 1) throw new Malformed("a network gives one name to two values");
    const nodes = described.map((one) => {
      const node = readNode(one);
      const fits = node.inputs.every((name) => known.has(name)) && !known.has(node.output);
      if (!fits) throw new Malformed("a network takes a value before it is given, or gives one twice");
      known.add(node.output);
      return node;
    });
    if (!nodes.some((node) => node.output === output)) throw new Malformed("a network does not give its output");
    return new OnnxGraph(nodes, constants, input, output);
  }

  /**
   * Run it.
   *
   * @throws Malformed shapes do not fit together, or it asks for too much.
   */
  run(x: Tensor): Tensor {
    const values = new Map<string, Tensor>([[this.#input, x]]);
    for (const { operator, inputs, output, attributes } of this.#nodes) {
      const taken = inputs.map((name) => values.get(name) ?? this.#constants.get(name)!);
      values.set(output, OPERATORS[operator]!(taken, attributes));
    }
    return values.get(this.#output)!;
  }
}

function readNode(data: Uint8Array): Node {
  const node = readFields(data, [1, 2, 3, 4, 5, 6, 7], [1, 2, 5]);
  const operator = text(node, 4);
  if (!Object.hasOwn(OPERATORS, operator) || text(node, 7)) {
    throw new Malformed(`the operator ${JSON.stringify(operator)} is not computed by this reader`);
  }
  const attributes = new Map<string, number | readonly number[]>();
  for (const one of node.bytes.get(5) ?? []) {
    const fields = readFields(one, [1, 3, 4, 8, 13, 20], [8]);
    const row = [...(fields.numbers.get(8) ?? []), ...(fields.bytes.get(8) ?? []).flatMap(packedNumbers)];
    const sort = number(fields, 20);
    if (sort !== 2 && sort !== 7) throw new Malformed("a network has an attribute of an unknown sort");
    attributes.set(text(fields, 1), sort === 2 ? (fields.numbers.get(3)?.[0] ?? 0) : row);
  }
  const outputs = node.bytes.get(2) ?? [];
  if (outputs.length !== 1) throw new Malformed("a network has a node of several outputs");
  const inputs = (node.bytes.get(1) ?? []).map(name);
  if (!inputs.length) throw new Malformed("a network has a node without inputs");
  return { operator, inputs, output: name(outputs[0]!), attributes };
}

function readConstant(data: Uint8Array): [name: string, tensor: Tensor] {
  const fields = readFields(data, [1, 2, 8, 9, 12, 14], [1]);
  const shape = [...(fields.numbers.get(1) ?? []), ...(fields.bytes.get(1) ?? []).flatMap(packedNumbers)];
  const type = TYPES[number(fields, 2)];
  const raw = only(fields, 9);
  const count = shape.reduce((product, side) => product * side, 1);
  const good = shape.length <= 8 && shape.every((side) => side > 0) && type && !(fields.numbers.get(14)?.[0] ?? 0);
  if (!good || count * SIZES[type]! !== raw.length) throw new Malformed("a constant of a network does not fit its shape");
  return [text(fields, 8), { shape, data: Float64Array.from(numbersOf(raw, type)) }];
}

function valueName(graph: Fields, field: number): string {
  const values = graph.bytes.get(field) ?? [];
  if (values.length !== 1) throw new Malformed("a network has not one input and one output");
  return text(readFields(values[0]!, [1, 2, 3]), 1);
}

function only(fields: Fields, field: number): Uint8Array {
  const value = fields.bytes.get(field)?.[0];
  if (!value) throw new Malformed(`a network lacks the field ${field}`);
  return value;
}

function number(fields: Fields, field: number): number {
  const value = fields.numbers.get(field)?.[0];
  if (value === undefined) throw new Malformed(`a network lacks the field ${field}`);
  return value;
}

function text(fields: Fields, field: number): string {
  const value = fields.bytes.get(field)?.[0];
  return value ? name(value) : "";
}

function name(bytes: Uint8Array): string {
  try {
    return utf8Text(bytes);
  } catch {
    throw new Malformed("a name of a network is no text");
  }
}
