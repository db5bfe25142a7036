"""The log of a run: the rows of metrics.jsonl (`metrics`), their pictures (`curves`), a bar in the terminal
(`progress`), and the seconds and the memory that a stage took (`usage`)."""
