"""What each stage did: answers, win rates, results, report, chat."""
