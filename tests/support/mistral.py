"""Mistral v0.3's way of writing a conversation, in words of our own, and a small tokenizer of its kind.

The rules are those of the template that the model ships: an optional system message first, then user and assistant in turn; the
system message goes into the last user turn; `[INST]` and `[/INST]` are tokens of their own.
"""

from __future__ import annotations

from tokenizers import AddedToken, Tokenizer, decoders, models, normalizers, processors

CONTROL = ("<unk>", "<s>", "</s>", "[INST]", "[/INST]")
BOS, EOS, INST, END_INST = 1, 2, 3, 4

TEMPLATE = """
{%- set system = messages[0]['content'] if messages[0]['role'] == 'system' else none -%}
{%- set turns = messages[1:] if system is not none else messages -%}
{{- bos_token -}}
{%- for turn in turns -%}
    {%- if turn['role'] != ('user' if loop.index0 is even else 'assistant') -%}
        {{- raise_exception('after an optional system message, user and assistant have to take turns') -}}
    {%- endif -%}
    {%- if turn['role'] == 'user' -%}
        {{- '[INST] ' -}}
        {%- if loop.last and system is not none -%}{{- system + '\\n\\n' -}}{%- endif -%}
        {{- turn['content'] + '[/INST]' -}}
    {%- else -%}
        {{- ' ' + turn['content'] + eos_token -}}
    {%- endif -%}
{%- endfor -%}
"""


def tokenizer() -> Tokenizer:
    """SentencePiece's kind as v0.3 has it: control tokens first, then a byte each, then letters and a few merges."""
    letters = [chr(code) for code in range(ord("a"), ord("z") + 1)] + ["▁", "H", ".", "?"]
    merges = [("▁", "H"), ("▁H", "i"), ("h", "i")]
    names = [*CONTROL, *(f"<0x{byte:02X}>" for byte in range(256)), *letters, *(a + b for a, b in merges)]
    ids = {name: number for number, name in enumerate(names)}
    made = Tokenizer(models.BPE(vocab=ids, merges=merges, unk_token="<unk>", byte_fallback=True))
    made.normalizer = normalizers.Replace(" ", "▁")
    made.decoder = decoders.Sequence([decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse()])
    made.post_processor = processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", BOS)])
    made.add_special_tokens([AddedToken(name, special=True, normalized=False) for name in CONTROL])
    return made
