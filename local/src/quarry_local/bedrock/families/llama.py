"""Meta Llama: `prompt` with the model's chat template in it (contract section 4.2). Pure.

`messages` is not the InvokeModel form, although one toolkit sends it (contract section 4.2): the record fails.
"""

from typing import Annotated

import msgspec

from quarry_local.bedrock.families.answers import Answer, Answering, say
from quarry_local.bedrock.families.bodies import Share, check_base64, malformed, reader

_GENERATED_DEFAULT = 512  # the model's page


class _Body(msgspec.Struct, forbid_unknown_fields=True, gc=False):
    prompt: str
    max_gen_len: Annotated[int, msgspec.Meta(ge=1, le=8192)] = _GENERATED_DEFAULT
    temperature: Share | None = None
    top_p: Share | None = None
    images: list[str] | None = None


def answering() -> Answering:
    read = reader(_Body)

    def answer(model_input: bytes | msgspec.Raw) -> Answer:
        body = read(model_input)
        if not body.prompt:
            raise malformed("#/prompt: expected minLength: 1, actual: 0")
        for number, image in enumerate(body.images or ()):
            check_base64(image, f"#/images/{number}")
        said = say(body.prompt, body.max_gen_len)
        rendered = b'{"generation":"%b","prompt_token_count":%d,"generation_token_count":%d,"stop_reason":"%b"}' % (
            said.text,
            said.input_tokens,
            said.output_tokens,
            b"length" if said.cut else b"stop",
        )
        return Answer(rendered, said.input_tokens, said.output_tokens)

    return answer
