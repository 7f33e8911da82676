"""Transcribes through a server with OpenAI's own package, in every response format.

Usage: official.py BASE_URL RECORDING, with the token in OPENAI_API_KEY. The server's model says "Hello, world."
"""

import sys

import openai

client = openai.OpenAI(base_url=sys.argv[1], max_retries=0)
recording = sys.argv[2]


def transcribe(**fields):
    with open(recording, "rb") as file:
        return client.audio.transcriptions.create(file=file, model="whisper-1", **fields)


plain = transcribe()
assert plain.text == "Hello, world.", plain
assert plain.usage.type == "duration" and plain.usage.seconds == 2, plain

assert transcribe(response_format="text") == "Hello, world.\n"
assert transcribe(response_format="srt").startswith("1\n00:00:00,000 --> 00:00:00,400\nHello,\n\n2\n")
assert transcribe(response_format="vtt").startswith("WEBVTT\n\n00:00:00.000 --> 00:00:00.400\nHello,\n\n")

verbose = transcribe(response_format="verbose_json", timestamp_granularities=["word", "segment"])
assert verbose.language == "english" and abs(verbose.duration - 1.2) < 1e-6, verbose
assert [segment.text for segment in verbose.segments] == [" Hello,", " world."], verbose
assert [word.word for word in verbose.words] == ["Hello,", "world."], verbose
assert all(type(segment).model_fields.keys() <= segment.model_dump().keys() for segment in verbose.segments), verbose

fields = transcribe(language="de", prompt="Names: Welt", temperature=0.2)
assert fields.text == "Hallo, Welt.", fields

events = list(transcribe(stream=True))
assert [event.type for event in events] == ["transcript.text.delta"] * 2 + ["transcript.text.done"], events
assert "".join(event.delta for event in events[:-1]).strip() == events[-1].text == "Hello, world.", events

with open(recording, "rb") as file:
    translation = client.audio.translations.create(file=file, model="whisper-1")
assert translation.text == "Hello, in English.", translation
with open(recording, "rb") as file:
    subtitles = client.audio.translations.create(file=file, model="whisper-1", response_format="srt")
assert "in\n" in subtitles, subtitles

assert [model.id for model in client.models.list()] == ["fake", "whisper-1"]
assert client.models.retrieve("whisper-1").object == "model"

try:
    client.with_options(api_key="0" * 64).models.list()
    raise AssertionError("a wrong token was taken")
except openai.AuthenticationError as error:
    assert error.code == "invalid_api_key", error
try:
    client.audio.transcriptions.create(file=("a.wav", b"no sound"), model="whisper-1")
    raise AssertionError("nonsense was taken")
except openai.BadRequestError as error:
    assert error.param == "file" and "a.wav" in error.message, error
try:
    client.audio.transcriptions.create(file=("a.wav", b"no sound"), model="gpt-9")
    raise AssertionError("an unknown model was taken")
except openai.NotFoundError as error:
    assert error.code == "model_not_found", error

print(f"openai {openai.__version__}: every format, a stream, a translation, three errors")
