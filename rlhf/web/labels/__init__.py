"""From labels to a model: who ranks what, how far people agree, and the training on their rankings.

assignment   the next prompt of a person       agreement   figures of agreement, pure functions
summary      what the teacher sees             export      rankings.jsonl and demonstrations.jsonl
training     the job that the button starts
"""
