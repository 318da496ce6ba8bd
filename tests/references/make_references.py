"""Make the answers that the CPU runner must give: Hugging Face transformers in float32, with our int8 weights dequantised.

Independent of `serving` from end to end: transformers reads the GGUF file with its own loader, the rounding to int8 is
written out below, and transformers computes and decodes. Run once, in an environment that has nothing else to do:

    pip install torch "transformers>=4.57,<5" gguf accelerate
    python make_references.py GGUF_FILE FOLDER_OF_THE_PREPARED_MODEL

It writes smollm2-135m-instruct-int8.json beside itself. The prepared folder gives tokenizer.json and
tokenizer_config.json only: transformers 4.57 makes a wrong tokenizer of this GGUF file (it does not split digits).
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import torch
import transformers

HERE = Path(__file__).parent
LONGEST_ANSWER_TOKENS = 96
CLOSE = 1e-3  # two logits nearer than this may change places by rounding alone


def main(gguf: Path, prepared: Path) -> None:
    torch.manual_seed(0)
    torch.set_grad_enabled(False)
    tokenizer = transformers.PreTrainedTokenizerFast(tokenizer_file=str(prepared / "tokenizer.json"))
    template = json.loads((prepared / "tokenizer_config.json").read_text())["chat_template"]
    exact = transformers.AutoModelForCausalLM.from_pretrained(
        gguf.parent, gguf_file=gguf.name, dtype=torch.float32, attn_implementation="eager"
    ).eval()
    prose = (HERE / "prose.txt").read_text()
    prose_ids = tokenizer(prose, return_tensors="pt").input_ids
    exact_logits = exact(prose_ids).logits[0]
    losses = {group: _loss_by_quantisation(exact, exact_logits, prose_ids, group) for group in (None, 64)}
    model = _quantised(exact, None)
    answers = []
    for messages in json.loads((HERE / "prompts.json").read_text()):
        filled = [{**m, "content": m["content"].replace("{prose}", prose)} for m in messages]
        ids = tokenizer.apply_chat_template(filled, chat_template=template, add_generation_prompt=True)
        answers.append({"messages": messages, "prompt_ids": ids, **_greedy(model, ids, tokenizer)})
        print(len(ids), answers[-1]["text"][:70].replace("\n", " "), flush=True)  # noqa: T201
    document = {
        "made_by": f"transformers {transformers.__version__}, torch {torch.__version__}, float32, eager attention, CPU",
        "model": "smollm2-135m-instruct, int8 rows with float16 scales, dequantised to float32",
        "close": CLOSE,
        "quantisation": {
            "text": f"prose.txt, {prose_ids.shape[1]} tokens",
            "loss_of_the_gguf_file": _loss(exact_logits, prose_ids),
            "int8_one_scale_a_row": losses[None],
            "int8_one_scale_each_64": losses[64],
        },
        "answers": answers,
    }
    path = HERE / "smollm2-135m-instruct-int8.json"
    path.write_text(json.dumps(document, ensure_ascii=False).replace('{"messages"', '\n{"messages"') + "\n")


def _quantised(exact: Any, group: int | None) -> Any:
    """A copy whose matrices went through int8; `group` columns share a scale, None is a whole row."""
    model = transformers.AutoModelForCausalLM.from_config(exact.config, attn_implementation="eager").eval()
    model.load_state_dict({name: _rounded(w, group) for name, w in exact.state_dict().items()})
    model.tie_weights()
    return model


def _rounded(weight: torch.Tensor, group: int | None) -> torch.Tensor:
    if weight.ndim != 2:
        return weight.clone()
    grouped = weight.reshape(weight.shape[0], -1, group or weight.shape[1])
    scale = (grouped.abs().amax(-1, keepdim=True) / 127).clamp_min(1e-7).half().float()
    return ((grouped / scale).round().clamp(-127, 127) * scale).reshape(weight.shape)


def _greedy(model: Any, prompt_ids: list[int], tokenizer: Any) -> dict[str, Any]:
    """Token ids up to and with end-of-sequence, and by how much each beat the second best."""
    ids_in = torch.tensor([prompt_ids])
    out = model.generate(
        ids_in,
        attention_mask=torch.ones_like(ids_in),
        do_sample=False,
        max_new_tokens=LONGEST_ANSWER_TOKENS,
        eos_token_id=2,
        pad_token_id=2,
        return_dict_in_generate=True,
        output_logits=True,
    )
    ids = out.sequences[0, len(prompt_ids) :].tolist()
    best = [logits[0].topk(2).values for logits in out.logits]
    return {
        "answer_ids": ids,
        "gaps": [round(float(two[0] - two[1]), 6) for two in best],
        "text": tokenizer.decode(ids),
    }


def _loss_by_quantisation(
    exact: Any, exact_logits: torch.Tensor, ids: torch.Tensor, group: int | None
) -> dict[str, Any]:
    logits = _quantised(exact, group)(ids).logits[0]
    log_p, log_q = exact_logits.log_softmax(-1), logits.log_softmax(-1)
    return {
        "loss": _loss(logits, ids),
        "argmax_equal": round(float((logits.argmax(-1) == exact_logits.argmax(-1)).float().mean()), 4),
        "kl_divergence": round(float((log_p.exp() * (log_p - log_q)).sum(-1).mean()), 5),
    }


def _loss(logits: torch.Tensor, ids: torch.Tensor) -> float:
    """Mean next-token cross entropy in nats."""
    return round(float(torch.nn.functional.cross_entropy(logits[:-1], ids[0, 1:])), 4)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
