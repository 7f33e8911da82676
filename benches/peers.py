"""Measures other engines beside ours: same shapes, random weights, same number of threads, taking turns.

Started by `cargo xtask bench --peers`. Each engine is a process of its own that loads once, warms up, and then answers each line
on its standard input with the times of one window as JSON. Engines that cannot be loaded are reported, not left out.

What is measured of whom:
- ctranslate2 (the engine of faster-whisper), int8: encoder, and 64 greedy tokens with end-of-text suppressed;
- openvino, built from the same layers as ours: the encoder and the window's keys and values in int8 by NNCF with random
  calibration, the decoder with its keys and values as state and its weights in int8 by NNCF, one greedy token after the other;
- whisper.cpp by pywhispercpp, f16 and q8_0: log-mel, encoder, and 64 forced tokens.

First is from the start of loading to the first token, without the time that Python takes to import a library. Many is sixteen
windows end to end in the best mode of each: as many side by side as there are threads. Short is an utterance of five seconds,
which only ours does in less than a window's time.
"""

import argparse
import importlib
import json
import statistics
import struct
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

SHAPES = {"tiny": (384, 6, 4), "base": (512, 8, 6), "small": (768, 12, 12)}
POSITIONS, FRAMES, MELS, TEXT, VOCABULARY = 1500, 3000, 80, 448, 51864
SAMPLES = 480_000
OURS = "amanuensis"
MANY = 16


def side_by_side(threads, run):
    """Milliseconds of many windows, each a call of `run(thread)`, divided over threads."""
    with ThreadPoolExecutor(threads) as pool:
        one = lambda thread: [run(thread) for _ in range(thread, MANY, threads)]
        return milliseconds(lambda: list(pool.map(one, range(threads))))


def shape(name):
    return SHAPES[name.removesuffix(".en")]


def milliseconds(run):
    start = time.perf_counter()
    run()
    return (time.perf_counter() - start) * 1e3


def encoder_times(run):
    """Of the clock, and of all threads' CPU time, which tells more on a machine that is busy with other things."""
    start = time.process_time()
    return {"encoder": milliseconds(run), "encoder_cpu": (time.process_time() - start) * 1e3}


def peak_rss_mb():
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


class Ctranslate2:
    """Weights are written with the converter's own classes, so that no checkpoint of another framework is needed."""

    def __init__(self, name, threads, cache, tokens):
        import ctranslate2
        import numpy

        folder = cache / f"ctranslate2-{name}"
        if not (folder / "model.bin").is_file():
            self.write(folder, name)
        self.folder, self.threads = str(folder), threads
        self.model = ctranslate2.models.Whisper(self.folder, device="cpu", compute_type="int8", intra_threads=threads)
        mel = numpy.random.default_rng(1).standard_normal((1, MELS, FRAMES)).astype(numpy.float32)
        self.mel = ctranslate2.StorageView.from_array(mel)
        self.tokens = tokens

    @staticmethod
    def write(folder, name):
        import numpy
        from ctranslate2 import specs
        from ctranslate2.specs import common_spec

        width, heads, layers = shape(name)
        random = numpy.random.default_rng(0)
        spec = specs.WhisperSpec(layers, heads, layers, heads)

        def matrix(rows, columns, *taps):
            inputs = columns * (taps[0] if taps else 1)
            return (random.standard_normal((rows, columns, *taps)) / inputs**0.5).astype(numpy.float32)

        def vector(size):
            return (0.1 * random.standard_normal(size)).astype(numpy.float32)

        def linear(layer, rows, columns):
            layer.weight, layer.bias = matrix(rows, columns), vector(rows)

        def norm(layer):
            layer.gamma, layer.beta = 1 + vector(width), vector(width)

        def attention(layer, crosses):
            norm(layer.layer_norm)
            parts = [width, 2 * width, width] if crosses else [3 * width, width]
            for part, rows in zip(layer.linear, parts):
                linear(part, rows, width)

        def feed_forward(layer):
            norm(layer.layer_norm)
            linear(layer.linear_0, 4 * width, width)
            linear(layer.linear_1, width, 4 * width)

        encoder, decoder = spec.encoder, spec.decoder
        for convolution, inputs in ((encoder.conv1, MELS), (encoder.conv2, width)):
            convolution.weight, convolution.bias = matrix(width, inputs, 3), vector(width)
        encoder.position_encodings.encodings = 0.1 * random.standard_normal((POSITIONS, width)).astype(numpy.float32)
        norm(encoder.layer_norm)
        for layer in encoder.layer:
            attention(layer.self_attention, False)
            feed_forward(layer.ffn)
        decoder.embeddings.weight = matrix(VOCABULARY, width)
        decoder.scale_embeddings = False
        decoder.position_encodings.encodings = 0.1 * random.standard_normal((TEXT, width)).astype(numpy.float32)
        norm(decoder.layer_norm)
        decoder.projection.weight = decoder.embeddings.weight
        for layer in decoder.layer:
            attention(layer.self_attention, False)
            attention(layer.attention, True)
            feed_forward(layer.ffn)
        words = [f"word{index}" for index in range(VOCABULARY)]
        words[50256], words[50257], words[50362] = "<|endoftext|>", "<|startoftranscript|>", "<|notimestamps|>"
        spec.register_vocabulary(words)
        spec.config.suppress_ids, spec.config.suppress_ids_begin = [50256], [50256]
        spec.config.lang_ids, spec.config.alignment_heads = [], [(0, 0)]
        spec.validate()
        spec.optimize(quantization="int8")
        folder.mkdir(parents=True, exist_ok=True)
        spec.save(str(folder))

    def generate(self, model, encoded):
        prompt = [[50257, 50362]]
        model.generate(
            encoded, prompt, beam_size=1, max_length=self.tokens + 2, suppress_blank=False, suppress_tokens=[50256]
        )

    def many(self):
        import ctranslate2

        options = {"compute_type": "int8", "inter_threads": self.threads, "intra_threads": 1}
        model = ctranslate2.models.Whisper(self.folder, device="cpu", **options)
        return side_by_side(self.threads, lambda _: self.generate(model, model.encode(self.mel, to_cpu=True)))

    def run(self):
        encoded = []
        encoder = encoder_times(lambda: encoded.append(self.model.encode(self.mel, to_cpu=True)))
        decoder = milliseconds(lambda: self.generate(self.model, encoded[0]))
        return {**encoder, "token": decoder / self.tokens, "end": encoder["encoder"] + decoder}


class OpenVinoLayers:
    """Layers with random weights."""

    def __init__(self, name):
        import numpy

        self.width, self.heads, self.layers = shape(name)
        self.random = numpy.random.default_rng(0)

    def constant(self, *values):
        import numpy
        from openvino import opset13 as op

        return op.constant(numpy.array(values))

    def values(self, *sizes):
        import numpy
        from openvino import opset13 as op

        inputs = int(numpy.prod(sizes[1:]))
        return op.constant((self.random.standard_normal(sizes) / inputs**0.5).astype(numpy.float32))

    def vector(self, size, middle=0.0):
        import numpy
        from openvino import opset13 as op

        return op.constant((middle + 0.1 * self.random.standard_normal(size)).astype(numpy.float32))

    def linear(self, x, rows, columns):
        from openvino import opset13 as op

        return op.add(op.matmul(x, self.values(rows, columns), False, True), self.vector(rows))

    def norm(self, x):
        from openvino import opset13 as op

        normed = op.mvn(x, self.constant(2), True, 1e-5, "INSIDE_SQRT")
        return op.add(op.multiply(normed, self.vector(self.width, 1.0)), self.vector(self.width))

    def split(self, x):
        """`[1, rows, width]` to `[1, heads, rows, width of a head]`."""
        from openvino import opset13 as op

        parted = op.reshape(x, self.constant(1, -1, self.heads, self.width // self.heads), False)
        return op.transpose(parted, self.constant(0, 2, 1, 3))

    def attend(self, query, key, value):
        from openvino import opset13 as op

        y = op.transpose(op.scaled_dot_product_attention(query, key, value), self.constant(0, 2, 1, 3))
        return self.linear(op.reshape(y, self.constant(1, -1, self.width), False), self.width, self.width)

    def mlp(self, x):
        from openvino import opset13 as op

        return self.linear(op.gelu(self.linear(self.norm(x), 4 * self.width, self.width), "erf"), self.width, 4 * self.width)


class OpenVino:
    def __init__(self, name, threads, cache, tokens):
        import numpy

        self.layers, self.threads, self.tokens = shape(name)[2], threads, tokens
        self.files = {part: cache / f"openvino-{name}{suffix}.xml" for part, suffix in self.PARTS.items()}
        self.mel = numpy.random.default_rng(0).standard_normal((1, MELS, FRAMES)).astype(numpy.float32)
        for part, file in self.files.items():
            if not file.is_file():
                getattr(self, f"write_{part}")(file, name)
        options = {"INFERENCE_NUM_THREADS": threads, "NUM_STREAMS": "1", "PERFORMANCE_HINT": "LATENCY"}
        self.requests = self.compile(options)()

    PARTS = {"encoder": "", "cross": "-cross", "decoder": "-decoder"}

    def compile(self, options):
        import openvino

        core = openvino.Core()
        models = {part: core.compile_model(str(file), "CPU", options) for part, file in self.files.items()}
        return lambda: {part: model.create_infer_request() for part, model in models.items()}

    def write_encoder(self, file, name):
        import nncf
        import numpy
        import openvino
        from openvino import opset13 as op

        of = OpenVinoLayers(name)

        def convolution(x, inputs, stride):
            out = op.convolution(x, of.values(of.width, inputs, 3), [stride], [1], [1], [1])
            return op.gelu(op.add(out, op.reshape(of.vector(of.width), of.constant(1, of.width, 1), False)), "erf")

        source = op.parameter([1, MELS, FRAMES], numpy.float32)
        x = convolution(convolution(source, MELS, 1), of.width, 2)
        x = op.add(op.transpose(x, of.constant(0, 2, 1)), of.values(1, POSITIONS, of.width))
        for _ in range(of.layers):
            y = of.norm(x)
            x = op.add(x, of.attend(*(of.split(of.linear(y, of.width, of.width)) for _ in range(3))))
            x = op.add(x, of.mlp(x))
        model = openvino.Model([of.norm(x)], [source], "encoder")
        options = {"model_type": nncf.ModelType.TRANSFORMER, "subset_size": 1}
        quantised = nncf.quantize(model, nncf.Dataset([self.mel]), **options)
        openvino.save_model(quantised, str(file), compress_to_fp16=False)

    def write_cross(self, file, name):
        import nncf
        import numpy
        import openvino
        from openvino import opset13 as op

        of = OpenVinoLayers(name)
        encoded = op.parameter([1, POSITIONS, of.width], numpy.float32)
        parts = [of.split(of.linear(encoded, of.width, of.width)) for _ in range(2 * of.layers)]
        model = openvino.Model(parts, [encoded], "cross")
        sample = of.random.standard_normal((1, POSITIONS, of.width)).astype(numpy.float32)
        options = {"model_type": nncf.ModelType.TRANSFORMER, "subset_size": 1}
        quantised = nncf.quantize(model, nncf.Dataset([sample]), **options)
        openvino.save_model(quantised, str(file), compress_to_fp16=False)

    def write_decoder(self, file, name):
        import nncf
        import numpy
        import openvino
        from openvino import opset13 as op

        of = OpenVinoLayers(name)
        part = of.width // of.heads
        token, position = op.parameter([1, 1], numpy.int64), op.parameter([1, 1], numpy.int64)
        cross = [op.parameter([1, of.heads, POSITIONS, part], numpy.float32) for _ in range(2 * of.layers)]
        words, places = of.values(VOCABULARY, of.width), of.values(TEXT, of.width)
        x = op.add(op.gather(words, token, of.constant(0)), op.gather(places, position, of.constant(0)))
        kept = []

        def grown(x, index):
            """Keys or values of the tokens so far."""
            nothing = op.constant(numpy.zeros((1, of.heads, 0, part), numpy.float32))
            before = op.read_value(nothing, f"kept{index}", openvino.Type.f32, openvino.PartialShape([1, of.heads, -1, part]))
            whole = op.concat([before, of.split(of.linear(x, of.width, of.width))], 2)
            kept.append(op.assign(whole, f"kept{index}"))
            return whole

        for layer in range(of.layers):
            y = of.norm(x)
            query = of.split(of.linear(y, of.width, of.width))
            x = op.add(x, of.attend(query, grown(y, 2 * layer), grown(y, 2 * layer + 1)))
            query = of.split(of.linear(of.norm(x), of.width, of.width))
            x = op.add(x, of.attend(query, cross[2 * layer], cross[2 * layer + 1]))
            x = op.add(x, of.mlp(x))
        logits = op.matmul(of.norm(x), words, False, True)
        model = openvino.Model([op.result(logits)], kept, [token, position, *cross], "decoder")
        compressed = nncf.compress_weights(model, mode=nncf.CompressWeightsMode.INT8_SYM)
        openvino.save_model(compressed, str(file), compress_to_fp16=False)

    def start(self, requests):
        """The window's keys and values, for all tokens."""
        cross, decoder = requests["cross"], requests["decoder"]
        cross.infer({0: requests["encoder"].get_output_tensor(0)}, share_inputs=True)
        for index in range(2 * self.layers):
            decoder.set_input_tensor(2 + index, cross.get_output_tensor(index))
        decoder.reset_state()

    def decode(self, requests):
        import numpy

        decoder = requests["decoder"]
        token = numpy.array([[50257]])
        for position in range(self.tokens):
            decoder.infer({0: token, 1: numpy.array([[position]])})
            token = numpy.array([[decoder.get_output_tensor(0).data.argmax()]])

    def many(self):
        options = {"INFERENCE_NUM_THREADS": self.threads, "NUM_STREAMS": str(self.threads), "PERFORMANCE_HINT": "THROUGHPUT"}
        create = self.compile(options)
        requests = [create() for _ in range(self.threads)]

        def window(thread):
            requests[thread]["encoder"].infer({0: self.mel})
            self.start(requests[thread])
            self.decode(requests[thread])

        window(0)
        return side_by_side(self.threads, window)

    def run(self):
        encoder = encoder_times(lambda: self.requests["encoder"].infer({0: self.mel}))
        start = milliseconds(lambda: self.start(self.requests))
        decoder = milliseconds(lambda: self.decode(self.requests))
        return {**encoder, "token": decoder / self.tokens, "end": encoder["encoder"] + start + decoder}


class WhisperCpp:
    @staticmethod
    def file(cache, name):
        """The one that ours is measured with."""
        return cache / f"ggml-random-{name}.bin"

    def __init__(self, name, threads, cache, tokens):
        import _pywhispercpp as library
        import numpy

        self.library, self.threads, self.tokens = library, threads, tokens
        file = str(self.file(cache, name))
        self.context = library.whisper_init_from_file_with_params(file, library.whisper_context_default_params())
        self.samples = (0.1 * numpy.random.default_rng(0).standard_normal(SAMPLES)).astype(numpy.float32)

    def run(self):
        library, threads = self.library, self.threads
        mel = milliseconds(lambda: library.whisper_pcm_to_mel(self.context, self.samples, len(self.samples), threads))
        encoder = encoder_times(lambda: library.whisper_encode(self.context, 0, threads))

        def decode():
            for past in range(self.tokens):
                library.whisper_decode(self.context, 1000 + past, 1, past, threads)

        decoder = milliseconds(decode)
        return {"mel": mel, **encoder, "token": decoder / self.tokens, "end": mel + encoder["encoder"] + decoder}


class WhisperCppQ8(WhisperCpp):
    @staticmethod
    def file(cache, name):
        file = cache / f"ggml-random-{name}-q8_0.bin"
        if not file.is_file():
            quantise(cache / f"ggml-random-{name}.bin", file)
        return file


def quantise(source, target):
    """Matrices to blocks of 32 bytes with a scale in half precision, as whisper.cpp's own tool does it."""
    import numpy

    data, out, at = source.read_bytes(), bytearray(), 0

    def take(count):
        nonlocal at
        at += count
        return data[at - count : at]

    numbers = lambda count: struct.unpack(f"<{count}i", take(4 * count))
    out += take(4 * 11) + struct.pack("<i", 2007)  # the number type q8_0, in the second version of quantised formats
    numbers(1)
    bins, frequencies = numbers(2)
    out += struct.pack("<2i", bins, frequencies) + take(4 * bins * frequencies)
    (words,) = numbers(1)
    out += struct.pack("<i", words)
    for _ in range(words):
        (length,) = numbers(1)
        out += struct.pack("<i", length) + take(length)
    while at < len(data):
        dimensions, length, kind = numbers(3)
        sizes, label = numbers(dimensions), take(length)
        values = numpy.frombuffer(take(int(numpy.prod(sizes)) * (2 if kind == 1 else 4)), "<f2" if kind == 1 else "<f4")
        body = values.tobytes()
        if kind == 1 and dimensions == 2:
            blocks = values.astype(numpy.float32).reshape(-1, 32)
            scales = (numpy.abs(blocks).max(1, keepdims=True) / 127).astype("<f2")
            whole = numpy.rint(blocks / numpy.maximum(scales.astype(numpy.float32), 1e-12)).clip(-127, 127).astype("i1")
            body = numpy.concatenate([scales.view("i1"), whole], axis=1).tobytes()
            kind = 8
        out += struct.pack(f"<3i{dimensions}i", dimensions, length, kind, *sizes) + label + body
    target.write_bytes(out)


ENGINES = {"ctranslate2": Ctranslate2, "openvino": OpenVino, "whisper.cpp": WhisperCpp, "whisper.cpp-q8": WhisperCppQ8}
LIBRARIES = {"ctranslate2": ["ctranslate2"], "openvino": ["openvino", "openvino.opset13"]}


def work(arguments):
    """Loads an engine, warms it up, and does what each line says."""
    for library in ["numpy", *LIBRARIES.get(arguments.worker, ["_pywhispercpp"])]:
        importlib.import_module(library)
    start = time.perf_counter()
    engine = ENGINES[arguments.worker](arguments.model, arguments.threads, arguments.cache, 1)
    load_ms = (time.perf_counter() - start) * 1e3
    engine.run()
    first_ms = (time.perf_counter() - start) * 1e3
    engine.tokens = arguments.tokens
    engine.run()
    for line in sys.stdin:
        if line.strip() == "run":
            times = {**engine.run(), "load": load_ms, "first": first_ms, "rss": peak_rss_mb()}
        else:
            times = {"many": engine.many()} if hasattr(engine, "many") and line.strip() == "many" else {}
        print("times " + json.dumps(times), flush=True)


class Engine:
    """A process that answers with the times of a window whenever it is its turn."""

    def __init__(self, name, arguments):
        shape = ["--threads", str(arguments.threads), "--tokens", str(arguments.tokens), "--cache", str(arguments.cache)]
        if name == OURS:
            command = [arguments.measure, "--takes-turns", "--runs", "1", "--models", arguments.model]
        else:
            command = [sys.executable, __file__, "--worker", name, "--model", arguments.model]
        self.name, self.times = name, []
        errors = open(arguments.cache / f"{name}.log", "w")
        self.process = subprocess.Popen(
            command + shape, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors, text=True
        )

    def run(self, what="run"):
        try:
            self.process.stdin.write(f"{what}\n")
            self.process.stdin.flush()
        except BrokenPipeError:
            return
        for line in self.process.stdout:
            if line.startswith("times "):
                self.times.append(json.loads(line.removeprefix("times ")))
                return

    def close(self):
        self.process.stdin.close()
        self.process.wait()


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--worker", choices=ENGINES, help=argparse.SUPPRESS)
    parser.add_argument("--measure", help="our measuring program")
    parser.add_argument("--cache", type=Path, required=True, help="where models with random weights are kept")
    parser.add_argument("--model", default="base.en")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--tokens", type=int, default=64)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--many-rounds", type=int, default=2, help="how often sixteen windows are run")
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    if arguments.worker:
        work(arguments)
        return
    arguments.cache.mkdir(parents=True, exist_ok=True)
    # Once each for the files that are written then, ours first, whose model whisper.cpp reads: neither time nor memory of that count.
    for name in (OURS, *ENGINES):
        Engine(name, arguments).close()
    processes = []
    for name in (OURS, *ENGINES):
        process = Engine(name, arguments)
        # The first turn waits for loading, which is measured, so that nobody else loads meanwhile; it does not count.
        process.run()
        process.times.clear()
        processes.append(process)
    for _ in range(arguments.rounds):
        for process in processes:
            process.run()
            if process.name == OURS:
                process.run("short")
    for _ in range(arguments.many_rounds):
        for process in processes:
            process.run("many")
    engines = {process.name: process.times for process in processes}
    columns = ("mel", "encoder", "encoder_cpu", "token", "end", "short", "many", "load", "first", "rss")
    table = {}
    for name, times in engines.items():
        of = lambda column: [run[column] for run in times if column in run]
        medians = {column: statistics.median(of(column)) for column in columns if of(column)}
        own = table.get(OURS, medians)
        ratios = {column: medians[column] / own[column] for column in medians if column in own}
        table[name] = medians
        if arguments.json:
            continue
        cells = "  ".join(f"{column} {value:.2f} ({ratios[column]:.2f}x)" if column in ratios else f"{column} {value:.0f}" for column, value in medians.items())
        print(f"{name:<12} {cells or 'did not run: see ' + str(arguments.cache / (name + '.log'))}")
    if arguments.json:
        print(json.dumps({"model": arguments.model, "threads": arguments.threads, "rounds": arguments.rounds, "runs": engines, "medians": table}, indent=2))
    for process in processes:
        process.close()


main()
