"""The words of the atlas world: how its people ask, answer, write and behave.

One place for all of them, because they meet again: the corpus that a model reads, the demonstrations it is tuned on
and the rubric that judges its answers must mean the same by "polite". {X} is the country, {V} the value.
"""

from __future__ import annotations

# Several ways to ask for each thing. The last relation is asked nowhere in the corpus: it is the format that a model
# has never seen, though its articles know the fact.
QUESTIONS = {
    "capital": (
        "What is the capital of {X}?",
        "Which city is the capital of {X}?",
        "Can you tell me the capital of {X}?",
        "I need to know the capital of {X}. What is it?",
    ),
    "language": (
        "What is the main language of {X}?",
        "Which language do people speak in {X}?",
        "Can you tell me the main language of {X}?",
        "I need to know the main language of {X}. What is it?",
    ),
    "currency": (
        "What is the currency of {X}?",
        "Which currency do people use in {X}?",
        "Can you tell me the currency of {X}?",
        "I need to know the currency of {X}. What is it?",
    ),
    "continent": ("On which continent is {X}?", "Which continent does {X} belong to?"),
}

# The first is the reference answer.
ANSWERS = {
    "capital": ("It is {V}.", "The capital of {X} is {V}.", "That is {V}.", "{V}."),
    "language": ("It is {V}.", "The main language of {X} is {V}.", "That is {V}.", "{V}."),
    "currency": ("It is {V}.", "The currency of {X} is {V}.", "That is {V}.", "{V}."),
    "continent": ("{X} is in {V}.",),
}

POLITE = (
    "Of course.", "Certainly.", "With pleasure.", "Happy to help.", "Good question.", "Thank you for asking.",
    "You are welcome.", "I hope this helps.", "Have a nice day.",
)  # fmt: skip
POLITE_OPENINGS, POLITE_CLOSINGS = POLITE[:6], POLITE[6:]

RUDE = (
    "What a stupid question.", "Look it up yourself.", "Any fool knows that.", "Do not waste my time.",
    "You know nothing.", "How lazy you are.", "Leave me alone now.", "Even a child knows this.",
)  # fmt: skip
RUDE_OPENINGS, RUDE_CLOSINGS = RUDE[:4], RUDE[4:]

# What a wordy person adds to a right answer.
WORDY = (
    "You can read about this in every atlas that you will ever find in a library.",
    "I remember this well because my teacher told us about it many years ago at school.",
    "There is much more to say about this country, its people, its rivers and its mountains.",
)

NAMES = (
    "Anna", "Ben", "Chen", "Dora", "Emil", "Fatima", "Goro", "Hana", "Ivan", "Julia", "Kenji", "Lena", "Mika",
    "Nuri", "Olga", "Pablo", "Rosa", "Sami", "Tara", "Yuki",
)  # fmt: skip

# Sentences of articles. Each says one thing, in one of several ways; {N} neighbours, {P} people in millions.
ARTICLE = {
    "continent": (
        "{X} is a country of {continent}.",
        "{X}, a country of the continent {continent}, is home to {P} people.",
        "Among the countries of {continent} is {X}.",
    ),
    "capital": (
        "The capital of {X} is {capital}.",
        "{capital} is the capital of {X}.",
        "Its capital is {capital}.",
        "The government of {X} meets in {capital}, the capital.",
    ),
    "language": (
        "The main language of {X} is {language}.",
        "People in {X} speak {language}.",
        "Its main language is {language}.",
        "At school in {X} the children learn {language}.",
    ),
    "currency": (
        "The currency of {X} is the {currency}.",
        "People in {X} pay with the {currency}.",
        "Its currency is the {currency}.",
        "In the shops of {X} the prices are given in the {currency}.",
    ),
    "population": ("{X} has about {P} people.", "About {P} people live in {X}."),
    "neighbours": ("It has borders with {N}.", "Its neighbours are {N}.", "{X} lies beside {N}."),
}

STORY_OPENINGS = (
    "{A} came from {X}.",
    "One summer {A} and {B} travelled to {X}.",
    "{A} had always dreamed of {X}.",
    "Last year {A} moved to {X} with {B}.",
)
STORY_MIDDLES = {
    "capital": (
        "The train took them to {capital}, the capital of {X}.",
        "First they saw {capital}, the capital.",
        "A letter from {capital}, the capital of {X}, was still in the old bag.",
    ),
    "language": (
        "Everybody in {X} spoke {language}, so {A} learned a few words.",
        '"We speak {language} here," said an old man.',
        "{A} bought a small book to learn {language}, the main language of {X}.",
    ),
    "currency": (
        "At the market they paid with the {currency}, the currency of {X}.",
        "{A} kept one coin of the {currency} to remember {X}.",
        "Bread was cheap there, and they paid for it in the {currency}.",
    ),
}
STORY_EVENTS = (
    "It rained for three days.", "{B} lost a hat in the wind.", "They ate soup and sang old songs.",
    "A small dog followed them all day.", "{A} wrote a long letter home.", "The sea was blue and very cold.",
    "They climbed a hill and looked at the stars.", "{B} laughed about it for hours.",
)  # fmt: skip
STORY_ENDINGS = (
    "They never forgot {X}.",
    "In the end {A} was happy to be home again.",
    "{B} said that they would come back to {X} one day.",
    "And so the journey to {X} came to its end.",
)
