"""Texts of chapter 02, to learn merges from and to measure them on: two stories, and a few lines in other writing."""

STORY = """\
There was a small cow who lived on a farm near the river. Every morning the cow went down to the river to drink,
and every evening she walked back to the farm to sleep. The farmer liked the small cow, and he gave her the best
grass of the farm.

One morning a fox was sitting near the river. The fox was thin, and he was looking at the water. "What are you
looking at?" said the cow. "I am looking at the moon," said the fox. "It fell into the river last night, and I
am waiting for it to come out again." The cow was looking at the water too, but there was no moon. "There is no
moon in the river," she said. "The moon is sleeping now. It will come back in the evening." The fox was not so
sure. He was sitting there the whole day, looking and waiting, and in the evening, when the cow was walking
home, there was the moon in the water, round and yellow.

"There it is!" said the fox, and he was jumping into the river. There was a lot of water and there was no moon.
The cow was laughing, and then she was running to the river to help. The fox was wet and cold when she pulled
him out. "It was there," said the fox. "It is there now," said the cow. "Look up." The fox looked up. There was
the moon, round and yellow, over the farm and over the river, and it had never been in the water at all.

From that day on the fox and the cow were friends. Every evening they were sitting near the river, looking at
the moon and talking about the things that are in the water and the things that only seem to be there.
"""

OTHER = """\
An owl was living in an old tower near the town. By day the owl was sleeping, and by night she was hunting mice
in the fields. The people of the town never saw her, but they heard her calling, and some of them were afraid.
"There is a ghost in the tower," said the baker. "Someone should go up and look." So the baker's daughter took a
lantern and went up the stairs. At the top she found the owl, who was looking at her with two round yellow eyes.
"So you are the ghost," said the girl, and she was laughing all the way down.
"""

CHINESE = "有一头小牛住在河边的农场里。每天早上，小牛到河边喝水；每天晚上，她走回农场睡觉。"
EMOJI = "🐮🌊🌙🦊"
CODE = """\
for step in range(10):
    loss = model(inputs[step])
    if loss < best:
        best, kept = loss, step
"""
