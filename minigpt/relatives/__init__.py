"""Models that the articles compare GPT with: counts, recurrent networks, the transformer of 2017, BERT.

    ngram               interpolated Kneser-Ney counts
    recurrent           a GRU, with and without attention over its past
    encoder_decoder     encoder, decoder and cross-attention
    bert                an encoder that fills in masked tokens

They are made of parts of `minigpt`, and nothing there imports them. A language model here, as everywhere, maps
ids [B,T] to logits [B,T,V], so `minigpt.objective.evaluate_language_model` measures each of them in bits per byte.
"""
