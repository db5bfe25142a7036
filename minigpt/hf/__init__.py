"""Side room: models and tokenizers to and from Hugging Face's format. The core never imports it.

`convert` is the command, `model` maps weights, `tokenizer` maps vocabularies and merges.
"""
