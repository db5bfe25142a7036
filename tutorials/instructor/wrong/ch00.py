"""Wrong solutions of chapter 00."""

import math

from tutorials.instructor.wrong import Wrong

WRONG = (
    Wrong("0.1", "bits", "two_tokens_by_hand", math.log2, says="in bits"),
    Wrong("0.1", "base ten", "two_tokens_by_hand", math.log10, says="base 10"),
    Wrong("0.1", "the probability", "two_tokens_by_hand", lambda vocab_size: 1 / vocab_size, says="probability itself"),
    Wrong("0.1", "log of the probability", "two_tokens_by_hand", lambda size: math.log(1 / size), says="sign"),
    Wrong("0.1", "a constant", "any_vocabulary", lambda vocab_size: math.log(2)),
    Wrong("0.1", "rounded", "two_tokens_by_hand", lambda vocab_size: round(math.log(vocab_size), 2)),
    Wrong(
        "0.1",
        "asks torch",
        "can_be_checked",
        edits=(
            ("import math\n", "import torch\nfrom torch.nn.functional import cross_entropy\n"),
            ("return math.log(vocab_size)", "return cross_entropy(torch.zeros(vocab_size), torch.tensor(0)).item()"),
        ),
        says="write that yourself",
    ),
)

ALSO_RIGHT = (
    ("0.1", lambda vocab_size: -math.log(1 / vocab_size)),
    ("0.1", lambda vocab_size: math.log2(vocab_size) * math.log(2)),
)
