"""Measures other engines beside ours: same shapes, random weights, same number of threads, taking turns.

Started by `cargo xtask bench --peers`. Each engine is a process of its own that loads once, warms up, and then answers each line
on its standard input with the times of one window as JSON. Engines that cannot be loaded are reported, not left out.

What is measured of whom:
- ctranslate2 (the engine of faster-whisper), int8: encoder, and 64 greedy tokens with end-of-text suppressed;
- openvino: the encoder, in int8 by NNCF with random calibration, built from the same layers as ours;
- whisper.cpp by pywhispercpp, f16: log-mel, encoder, and 64 forced tokens.
"""

import argparse
import json
import statistics
import subprocess
import sys
import time
from pathlib import Path

SHAPES = {"tiny": (384, 6, 4), "base": (512, 8, 6), "small": (768, 12, 12)}
POSITIONS, FRAMES, MELS, TEXT, VOCABULARY = 1500, 3000, 80, 448, 51864
SAMPLES = 480_000
OURS = "amanuensis"


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
        self.model = ctranslate2.models.Whisper(str(folder), device="cpu", compute_type="int8", intra_threads=threads)
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

    def run(self):
        encoded = []
        encoder = encoder_times(lambda: encoded.append(self.model.encode(self.mel, to_cpu=True)))

        def generate():
            prompt = [[50257, 50362]]
            self.model.generate(
                encoded[0], prompt, beam_size=1, max_length=self.tokens + 2, suppress_blank=False, suppress_tokens=[50256]
            )

        decoder = milliseconds(generate)
        return {**encoder, "token": decoder / self.tokens, "end": encoder["encoder"] + decoder}


class OpenVino:
    def __init__(self, name, threads, cache, _tokens):
        import numpy
        import openvino

        file = cache / f"openvino-{name}.xml"
        random = numpy.random.default_rng(0)
        self.mel = random.standard_normal((1, MELS, FRAMES)).astype(numpy.float32)
        if not file.is_file():
            self.write(file, name, self.mel)
        core = openvino.Core()
        options = {"INFERENCE_NUM_THREADS": threads, "NUM_STREAMS": "1", "PERFORMANCE_HINT": "LATENCY"}
        self.encoder = core.compile_model(str(file), "CPU", options).create_infer_request()

    @staticmethod
    def write(file, name, mel):
        import nncf
        import numpy
        import openvino
        from openvino import opset13 as op

        width, heads, layers = shape(name)
        random = numpy.random.default_rng(0)

        def values(*sizes):
            inputs = int(numpy.prod(sizes[1:]))
            return op.constant((random.standard_normal(sizes) / inputs**0.5).astype(numpy.float32))

        def vector(size, middle=0.0):
            return op.constant((middle + 0.1 * random.standard_normal(size)).astype(numpy.float32))

        def linear(x, rows, columns):
            return op.add(op.matmul(x, values(rows, columns), False, True), vector(rows))

        def norm(x):
            normed = op.mvn(x, op.constant(numpy.array([2])), True, 1e-5, "INSIDE_SQRT")
            return op.add(op.multiply(normed, vector(width, 1.0)), vector(width))

        def split(x):
            parted = op.reshape(x, op.constant(numpy.array([1, POSITIONS, heads, width // heads])), False)
            return op.transpose(parted, op.constant(numpy.array([0, 2, 1, 3])))

        def convolution(x, inputs, stride):
            out = op.convolution(x, values(width, inputs, 3), [stride], [1], [1], [1])
            return op.gelu(op.add(out, op.reshape(vector(width), op.constant(numpy.array([1, width, 1])), False)), "erf")

        source = op.parameter([1, MELS, FRAMES], numpy.float32)
        x = convolution(convolution(source, MELS, 1), width, 2)
        x = op.add(op.transpose(x, op.constant(numpy.array([0, 2, 1]))), values(1, POSITIONS, width))
        for _ in range(layers):
            y = norm(x)
            query, key, value = (split(linear(y, width, width)) for _ in range(3))
            y = op.scaled_dot_product_attention(query, key, value)
            y = op.transpose(y, op.constant(numpy.array([0, 2, 1, 3])))
            y = op.reshape(y, op.constant(numpy.array([1, POSITIONS, width])), False)
            x = op.add(x, linear(y, width, width))
            y = op.gelu(linear(norm(x), 4 * width, width), "erf")
            x = op.add(x, linear(y, width, 4 * width))
        model = openvino.Model([norm(x)], [source], "encoder")
        quantised = nncf.quantize(
            model, nncf.Dataset([mel]), model_type=nncf.ModelType.TRANSFORMER, subset_size=1
        )
        openvino.save_model(quantised, str(file), compress_to_fp16=False)

    def run(self):
        return encoder_times(lambda: self.encoder.infer({0: self.mel}))


class WhisperCpp:
    def __init__(self, name, threads, cache, tokens):
        import _pywhispercpp as library
        import numpy

        self.library, self.threads, self.tokens = library, threads, tokens
        # The file that ours is measured with.
        file = str(cache / f"ggml-random-{name}.bin")
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


ENGINES = {"ctranslate2": Ctranslate2, "openvino": OpenVino, "whisper.cpp": WhisperCpp}


def work(arguments):
    """Loads an engine, warms it up, and runs a window for each line."""
    load = []
    load_ms = milliseconds(
        lambda: load.append(ENGINES[arguments.worker](arguments.model, arguments.threads, arguments.cache, arguments.tokens))
    )
    load[0].run()
    for _ in sys.stdin:
        print("times " + json.dumps({**load[0].run(), "load": load_ms, "rss": peak_rss_mb()}), flush=True)


class Engine:
    """A process that answers with the times of a window whenever it is its turn."""

    def __init__(self, name, arguments):
        shape = ["--threads", str(arguments.threads), "--tokens", str(arguments.tokens), "--cache", str(arguments.cache)]
        if name == OURS:
            command = [arguments.measure, "--takes-turns", "--runs", str(arguments.rounds + 1), "--models", arguments.model]
        else:
            command = [sys.executable, __file__, "--worker", name, "--model", arguments.model]
        self.name, self.times = name, []
        errors = open(arguments.cache / f"{name}.log", "w")
        self.process = subprocess.Popen(
            command + shape, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors, text=True
        )

    def run(self):
        try:
            self.process.stdin.write("run\n")
            self.process.stdin.flush()
        except BrokenPipeError:
            return
        for line in self.process.stdout:
            if line.startswith("times "):
                self.times.append(json.loads(line.removeprefix("times ")))
                return


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--worker", choices=ENGINES, help=argparse.SUPPRESS)
    parser.add_argument("--measure", help="our measuring program")
    parser.add_argument("--cache", type=Path, required=True, help="where models with random weights are kept")
    parser.add_argument("--model", default="base.en")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--tokens", type=int, default=64)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    if arguments.worker:
        work(arguments)
        return
    arguments.cache.mkdir(parents=True, exist_ok=True)
    # Ours first: it writes the model that whisper.cpp reads.
    ours = Engine(OURS, arguments)
    ours.run()
    processes = [ours, *(Engine(name, arguments) for name in ENGINES)]
    for process in processes[1:]:
        process.run()
    # The first turn waits for loading; it does not count.
    for process in processes:
        process.times.clear()
    for _ in range(arguments.rounds):
        for process in processes:
            process.run()
    engines = {process.name: process.times for process in processes}
    columns = ("mel", "encoder", "encoder_cpu", "token", "end", "load", "rss")
    table = {}
    for name, times in engines.items():
        medians = {column: statistics.median(run[column] for run in times) for column in columns if times and column in times[0]}
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
        process.process.stdin.close()
        process.process.wait()


main()
