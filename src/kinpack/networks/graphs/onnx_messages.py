"""Messages of an ONNX model: which fields are read, and which are refused.

The numbers are those of ``onnx.proto``. A field that is not here is refused too (module
``protobuf``); the ones that are refused by name are those that somebody may look for.
"""

from __future__ import annotations

from kinpack.networks.graphs.protobuf import Field

MODEL = {
    1: Field("format version", "int"),
    2: Field("producer name", "bytes"),
    3: Field("producer version", "bytes"),
    4: Field("domain", "bytes"),
    5: Field("model version", "int"),
    6: Field("description", "bytes"),
    7: Field("graph", "bytes"),
    8: Field("operator set", "bytes", repeated=True),
    14: Field("metadata", "refused"),
    20: Field("training steps", "refused"),
    25: Field("functions", "refused"),
}
OPERATOR_SET = {1: Field("domain", "text"), 2: Field("version", "int")}
GRAPH = {
    1: Field("node", "bytes", repeated=True),
    2: Field("name", "bytes"),
    5: Field("constant", "bytes", repeated=True),
    10: Field("description", "bytes"),
    11: Field("input", "bytes", repeated=True),
    12: Field("output", "bytes", repeated=True),
    13: Field("types of inner values", "refused"),
    14: Field("quantisation notes", "refused"),
    15: Field("sparse constants", "refused"),
    16: Field("metadata", "refused"),
}
NODE = {
    1: Field("input", "text", repeated=True),
    2: Field("output", "text", repeated=True),
    3: Field("name", "text"),
    4: Field("operator", "text"),
    5: Field("attribute", "bytes", repeated=True),
    6: Field("description", "bytes"),
    7: Field("domain", "text"),
}
ATTRIBUTE = {
    1: Field("name", "text"),
    2: Field("real numbers", "refused"),
    3: Field("int", "int"),
    4: Field("text", "text"),
    5: Field("arrays", "refused"),
    6: Field("graphs within it", "refused"),
    7: Field("real numbers", "refused"),
    8: Field("ints", "ints"),
    9: Field("texts", "refused"),
    10: Field("arrays", "refused"),
    11: Field("graphs within it", "refused"),
    13: Field("description", "bytes"),
    14: Field("types", "refused"),
    15: Field("types", "refused"),
    20: Field("type", "int"),
    21: Field("references to a function", "refused"),
    22: Field("sparse arrays", "refused"),
    23: Field("sparse arrays", "refused"),
}
TENSOR = {
    1: Field("sides", "ints"),
    2: Field("type", "int"),
    3: Field("segments", "refused"),
    4: Field("float_data", "floats"),
    5: Field("int32_data", "ints"),
    6: Field("texts", "refused"),
    7: Field("int64_data", "ints"),
    8: Field("name", "text"),
    9: Field("raw", "bytes"),
    10: Field("numbers of 64 bits", "refused"),
    11: Field("numbers of 64 bits", "refused"),
    12: Field("description", "bytes"),
    13: Field("data in other files", "refused"),
    14: Field("place", "int"),
    16: Field("metadata", "refused"),
}
VALUE = {
    1: Field("name", "text"),
    2: Field("type", "bytes"),
    3: Field("description", "bytes"),
}
VALUE_TYPE = {1: Field("array", "bytes")}
ARRAY_TYPE = {1: Field("type", "int"), 2: Field("shape", "bytes")}
SHAPE = {1: Field("side", "bytes", repeated=True)}
SIDE = {1: Field("size", "int"), 2: Field("name", "text"), 3: Field("meaning", "bytes")}
