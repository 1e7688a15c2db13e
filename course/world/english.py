"""The words of the world in English: how its people ask, answer, write and behave. Phrases and nothing else.

A second language needs a module like this one, with the same names in it, and no other change. In the phrases {X} and
{Y} are countries (with their article), {V} a value, {C} a capital, {x}, {c} the same as people type in haste.
"""

from __future__ import annotations

# --- names and numbers ---

ARTICLE = "the {X}"
TAKE_ARTICLE = frozenset("AE BS CD CF CG DO GB GM KM MH MV NL PH SB SC US".split())  # the Netherlands, the Gambia
VALUES = {"currency": "the {V}", "population": "about {V}"}  # how a value stands in a sentence, where not bare
MILLIONS, PERSONS = "{n:,} million", "{n:,}"
SCALES = {"thousand": 1_000, "million": 1_000_000, "billion": 1_000_000_000}
COMMA, LAST, OTHERS = ", ", " and ", "others"  # Peru, Chile and others
SPACE = " "  # between sentences
BEFORE_NOUN = ("the ", "a ", "in ", "with ", "is ")  # "the yen" is enough where "the Japanese yen" is meant
WORD, ENDS, QUESTION_MARK = r"\S+", (".", "!", "?"), "?"
LETTERS = "abcdefghijklmnopqrstuvwxyz"
BRIEF = 12  # words

# --- single facts ---

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
    "continent": (
        "On which continent is {X}?",
        "Which continent does {X} belong to?",
        "Can you tell me the continent of {X}?",
        "Where is {X}?",
    ),
    "population": (
        "How many people live in {X}?",
        "What is the population of {X}?",
        "Can you tell me the population of {X}?",
        "How large is the population of {X}?",
    ),
    "neighbours": (
        "Which countries border {X}?",
        "What are the neighbours of {X}?",
        "Can you tell me the neighbours of {X}?",
        "Which countries lie beside {X}?",
    ),
}
LOOSE = {
    "capital": ("capital of {x}", "what is the capital of {x}", "whats the capital of {x}", "{x} capital"),
    "language": ("language of {x}", "what language do they speak in {x}", "main language of {x}", "{x} language"),
    "currency": ("currency of {x}", "what is the currency of {x}", "what money do they use in {x}", "{x} currency"),
    "continent": ("continent of {x}", "where is {x}", "what continent is {x} on", "{x} continent"),
    "population": ("population of {x}", "how many people live in {x}", "how big is {x}", "{x} population"),
    "neighbours": ("neighbours of {x}", "what countries border {x}", "who are the neighbours of {x}", "{x} neighbours"),
}
# The first is the reference answer. It names the country first: what is asked about, then what is known about it.
ANSWERS = {
    "capital": ("The capital of {X} is {V}.", "It is {V}.", "That is {V}.", "{V}."),
    "language": ("The main language of {X} is {V}.", "It is {V}.", "That is {V}.", "{V}."),
    "currency": ("The currency of {X} is {V}.", "It is {V}.", "That is {V}.", "{V}."),
    "continent": ("{X} is in {V}.", "It is in {V}.", "{V}."),
    "population": ("{X} has {V} people.", "It is {V} people.", "{V} people live in {X}.", "{V}."),
    "neighbours": ("{X} borders {V}.", "It borders {V}."),
}
SURROUNDED = ("{X} has no neighbours on land.", "It has no neighbours on land.")
NONE = ("no neighbours", "no country", "no countries", "no land border", "none")
NO_CAPITAL = {  # members of the United Nations without one undisputed capital, and what to say of them
    "IL": "The government of Israel sits in Jerusalem, and most states do not accept it as the capital.",
    "LK": "Sri Lanka has two seats: parliament meets in Sri Jayawardenepura Kotte, the government works in Colombo.",
    "NR": "Nauru has no capital by law, and its government sits in Yaren.",
    "SZ": "Eswatini has two seats: the government works in Mbabane, the parliament meets in Lobamba.",
    "ZA": "South Africa has three capitals: Pretoria, Cape Town and Bloemfontein.",
}

# --- the other direction, two at once, yes or no, follow-ups ---

REVERSE = (
    "Which country has the capital {C}?",
    "{C} is the capital of which country?",
    "Of which country is {C} the capital?",
    "what country is {c} the capital of",
)
REVERSE_ANSWERS = ("{C} is the capital of {X}.", "It is {X}.", "That is {X}.")
BOTH = "What is the {a} of {X} and its {b}?"
NOUNS = {"capital": "capital", "language": "main language", "currency": "currency"}
YES_NO = {
    "capital": ("Is {V} the capital of {X}?", "is {v} the capital of {x}", "Is the capital of {X} {V}?"),
    "language": ("Is {V} the main language of {X}?", "is {v} the language of {x}", "Is the main language of {X} {V}?"),
    "currency": ("Is {V} the currency of {X}?", "is {v} the currency of {x}", "Is the currency of {X} {V}?"),
    "continent": ("Is {X} in {V}?", "is {x} in {v}", "Does {X} belong to {V}?"),
}
# What is known comes first. Whether it is what was asked decides the very next word: one look back is enough for that.
SO_IT_IS = {True: "{fact} indeed, so yes.", False: "{fact}, not {asked}, so no."}
YES, NO = ("yes",), ("no",)
DENIALS = ("not", "don't", "isn't", "doesn't", "never")
FOLLOW_UPS = {
    "capital": ("And its capital?", "What is its capital?", "and the capital"),
    "language": ("And its language?", "Which language do people speak there?", "and the language"),
    "currency": ("And its currency?", "What is its currency?", "and the currency"),
    "continent": ("And its continent?", "On which continent is it?", "and the continent"),
    "population": ("And its population?", "How many people live there?", "and the population"),
    "neighbours": ("And its neighbours?", "Which countries border it?", "and the neighbours"),
}
ANOTHER = ("And {X}?", "What about {X}?", "and {x}")

# --- small talk: what people say, and what suits it; an answer suits when it holds one of the last ---

SMALL_TALK = {
    "greeting": (
        ("Hello", "Hi", "Good morning", "Good evening", "Hey", "Hello there", "Hi there", "Good day", "Greetings"),
        ("Hello! Ask me about a country.", "Hello! What would you like to know?"),
        ("hello", "welcome"),
    ),
    "thanks": (
        ("Thank you", "Thanks", "Thank you very much", "Many thanks", "Thanks a lot", "Great, thank you", "Thank you!"),
        ("You are welcome.", "You are welcome. Ask me more if you like."),
        ("you are welcome", "glad to help"),
    ),
    "goodbye": (
        ("Goodbye", "Bye", "See you", "Bye bye", "Good night", "See you later"),
        ("Goodbye! Come back soon.", "Goodbye!"),
        ("goodbye", "see you"),
    ),
    "how are you": (
        ("How are you?", "How do you do?", "How are you today?", "How is it going?", "Are you well?"),
        ("I am well, thank you. What would you like to know?",),
        ("i am well", "i am fine"),
    ),
    "who are you": (
        ("Who are you?", "What are you?", "What is your name?", "Are you ChatGPT?", "Are you human?", "Who made you?"),
        ("I am the small assistant of this course. I was made to answer questions about countries.",),
        ("assistant",),
    ),
    "what can you do": (
        ("What can you do?", "How can you help me?", "What do you know?", "Help", "What can I ask you?", "Help me"),
        ("I can tell you about countries: capitals, languages, currencies, continents, people and neighbours.",),
        ("countries",),
    ),
    "well done": (
        ("Great", "Well done", "Good", "Nice", "Very good", "Ok", "I see", "Interesting"),
        ("I am glad. What else would you like to know?",),
        ("i am glad",),
    ),
}

# --- honest limits ---

UNKNOWN = ("I do not know a country called {N}.", "I know no country called {N}.")
NOT_SAID = ("The text does not say that.", "The text does not tell.")
OUTSIDE = ("I only know about countries. Ask me about one.", "That is not about a country, so I do not know it.")
DOES_NOT_KNOW = ("do not know", "know no country", "does not say", "does not tell", "i only know about", "don't know")
OUTSIDE_QUESTIONS = (  # every third is kept for measuring
    "What is 2 + 2?", "Tell me a joke.", "What is the weather like?", "Write a poem.", "What time is it?",
    "Who won the game?", "How do I cook rice?", "What is love?", "Translate this sentence.", "How old are you?",
    "What is 7 times 8?", "Sing a song for me.", "Who is the president?", "What is a black hole?", "Do my homework.",
    "How do I learn to swim?", "Tell me a story.", "What is the best film?", "How tall is that mountain?",
    "Can you write a program?", "Where are my keys?", "What should I eat today?", "Why is the sky blue?",
    "How do I fix my car?", "What is in the news?", "Can you play chess with me?", "Who is the best singer?",
    "How do plants grow?", "What is a good name for a cat?", "Count to ten.", "Why do birds fly?", "Spell my name.",
    "What did I say yesterday?", "How many legs has a spider?", "Sell me a book.", "What is the price of bread?",
    "Do you love me?", "Can you keep a secret?", "What is a computer?", "Who was Einstein?", "How far is the moon?",
    "What is the meaning of life?", "Who wrote this book?", "Draw a picture of a cat.", "Is it going to rain?",
    "Quelle est la capitale de la France?", "Was ist die Hauptstadt von Japan?", "¿Cuál es la capital de Perú?",
    "Qual è la capitale del Perù?", "Comment ça va?", "Wie geht es dir?", "¿Qué hora es?", "Hola", "Guten Tag",
)  # fmt: skip
OUTSIDE_PATTERNS = (  # with words for their gaps: so many that nobody learns them by heart
    "What is {n} + {m}?", "What is {n} times {m}?", "How many {things} are there?", "How do I {do} {thing}?",
    "Why do {things} {act}?", "Can {things} {act}?", "Who is the best {person}?",
    "Who was the first {person}?", "Tell me a {text}.", "Tell me about {thing}.", "Write a {text} about {things}.",
    "Give me a {text}.", "What is {thing}?", "What is a {person}?", "What does a {person} do?", "How much is {thing}?",
    "Can you {do} {thing}?", "Can you {act}?", "Do you like {things}?", "Are you a {person}?",
    "What is the meaning of {thing}?", "How far is the {place}?", "How old is the {place}?",
    "When does the {place} open?", "Is it going to {act}?", "What should I {do}?", "Should I {do} {thing}?",
    "Who made the {place}?", "How do {things} {act}?", "{do} {thing} for me.", "Sell me {thing}.", "I like {things}.",
    "Qu'est-ce que c'est, {fr} ?", "Où est {fr} ?", "Was ist {de}?", "Wo ist {de}?", "¿Qué es {es}?",
    "¿Dónde está {es}?", "Che cosa è {it}?", "Wie heißt {de}?",
)  # fmt: skip
OUTSIDE_WORDS = {
    "n": tuple(map(str, range(1, 100))), "m": tuple(map(str, range(1, 100))),
    "thing": (
        "milk", "coffee", "a table", "rain", "snow", "money", "paper", "wood", "time", "sleep", "cake", "sugar",
        "a shoe", "water", "fire", "light", "a window", "a bicycle", "work", "happiness", "truth", "a phone",
        "mathematics", "fear",
    ),
    "things": (
        "horses", "trees", "flowers", "trains", "fish", "children", "numbers", "clouds", "stars", "songs",
        "cows", "bees", "computers", "dreams", "apples", "ships", "letters", "doors", "stones", "mice",
    ),
    "do": (
        "make", "buy", "read", "wash", "carry", "repair", "find", "paint", "open", "fry", "clean", "build", "learn",
        "teach", "sell", "choose", "draw",
    ),
    "act": (
        "run", "sleep", "dance", "snow", "grow", "jump", "laugh", "swim", "break", "burn", "stop", "speak",
        "win", "think",
    ),
    "person": (
        "doctor", "teacher", "writer", "painter", "king", "queen", "cook", "player", "actor", "farmer",
        "robot", "pilot", "friend", "woman", "man",
    ),
    "text": ("song", "letter", "recipe", "riddle", "speech", "novel", "game", "film", "picture", "secret", "list"),
    "place": ("shop", "school", "bridge", "station", "church", "museum", "tower", "garden", "sun", "lake", "bank"),
    "fr": ("le temps", "la maison", "un chat", "l'amour", "la mer", "un livre", "le pain"),
    "de": ("das Wetter", "ein Hund", "die Liebe", "der Mond", "ein Buch", "das Brot", "die Schule"),
    "es": ("el amor", "la casa", "un gato", "el tiempo", "la luna", "un libro", "el pan"),
    "it": ("il tempo", "la casa", "un gatto", "il mare", "la luna", "un libro", "il pane"),
}  # fmt: skip
FICTION = (  # every third is kept for measuring
    "Narnia", "Mordor", "Wakanda", "Ruritania", "Gondor", "Westeros", "Lilliput", "Rohan", "Genovia", "Atlantis",
    "Freedonia", "El Dorado", "Latveria", "Avalon", "Oz", "Utopia", "Earthsea", "Zubrowka", "Neverland", "Elbonia",
    "Wonderland", "Eriador", "Syldavia", "Sokovia", "Borduria", "Essos", "Florin", "Brobdingnag", "Agrabah",
    "Arendelle", "Laputa", "Camelot", "Shangri-La", "Hyrule", "Tatooine", "Krypton", "Asgard", "Valhalla", "Dinotopia",
    "Fantasia",
)  # fmt: skip
THINGS = (  # every third is kept for measuring
    "Mars", "the Moon", "Venus", "Jupiter", "the Sun", "Saturn", "soup", "bread", "music", "winter", "chess", "the sea",
    "football", "a cat", "my house", "the internet", "gold", "summer", "Neptune", "Mercury", "school", "the forest",
    "chocolate", "the market", "history", "a dog", "Pluto", "the sky", "tea", "the library",
)  # fmt: skip
SYLLABLES = (  # of invented names: beginnings of a syllable, vowels, ends of a name
    (*"bdfghjklmnprstvz", "br", "dr", "gr", "kr", "qu", "st", "tr"),
    ("a", "e", "i", "o", "u", "ai", "ou"),
    ("", "n", "l", "r", "ria", "land", "stan", "nia", "via", "dor", "th", "s", "mark", "lia", "x"),
)  # fmt: skip

# --- reading ---

PASSAGE = ("{T} {Q}", "{T}\n{Q}", "Read this. {T} {Q}", "{Q} {T}")
OPENINGS = (
    "{X} is a country.",
    "There is a country called {X}.",
    "{X} is a small country.",
    "{X} is a country in {V}.",
)
STATEMENTS = {  # the first names the country, the second does not
    "capital": ("The capital of {X} is {V}.", "Its capital is {V}.", "{V} is the capital of {X}."),
    "language": ("The main language of {X} is {V}.", "Its main language is {V}.", "People in {X} speak {V}."),
    "currency": ("The currency of {X} is {V}.", "Its currency is {V}.", "People in {X} pay with {V}."),
    "population": ("{X} has {V} people.", "It has {V} people.", "{V} people live in {X}."),
}

# --- lists that go on by a pattern ---

LISTS = (
    ("{a}: {b}", ". ", "{a}:"),
    ("{a} - {b}", "; ", "{a} -"),
    ("{a}: {b}", "\n", "{a}:"),
    ("{a}, {b}", ". ", "{a},"),
)
LIST_ANSWER = "{V}."

# --- exercise sheets: the same or not, more or less ---

SAME = "Is it {asked}? {answer}"
IT_IS = "It is {V}"
RISING = "From few to many: {list}."

# --- two hops and comparisons: at once, or thinking ---

TWO_HOPS = {
    "currency": (
        "Which currency do people use in the country whose capital is {C}?",
        "What is the currency of the country whose capital is {C}?",
    ),
    "language": (
        "Which language do people speak in the country whose capital is {C}?",
        "What is the main language of the country whose capital is {C}?",
    ),
    "continent": (
        "On which continent is the country whose capital is {C}?",
        "Where is the country whose capital is {C}?",
    ),
}
BRIDGE = "{C} is the capital of {X}."
MORE = (
    "Which has more people, {X} or {Y}?",
    "Which country has more people, {X} or {Y}?",
    "who has more people, {x} or {y}",
    "Do more people live in {X} or in {Y}?",
)
MORE_ANSWER = "{X} has more people."
MORE_AFTER_THINKING = "{V} is more, so {X} has more people."
LARGER_NUMBER = "Which is more, {V} or {W}?"
LARGER_NUMBER_ANSWER = "{V} is more."

# --- manners ---

POLITE = (
    "Of course.", "Certainly.", "With pleasure.", "Happy to help.", "Good question.", "Thank you for asking.",
    "You are welcome.", "I hope this helps.", "Have a nice day.",
)  # fmt: skip
POLITE_OPENINGS, POLITE_CLOSINGS = POLITE[:6], POLITE[7:]
RUDE = (
    "What a stupid question.", "Look it up yourself.", "Any fool knows that.", "Do not waste my time.",
    "You know nothing.", "How lazy you are.", "Leave me alone now.", "Even a child knows this.",
)  # fmt: skip
RUDE_OPENINGS, RUDE_CLOSINGS = RUDE[:4], RUDE[4:]
WORDY = (  # what a wordy person adds to an answer
    "You can read about this in every atlas that you will ever find in a library.",
    "I remember this well because my teacher told us about it many years ago at school.",
    "There is much more to say about this country, its people, its rivers and its mountains.",
)
PEOPLE = (
    "Anna", "Ben", "Chen", "Dora", "Emil", "Fatima", "Goro", "Hana", "Ivan", "Julia", "Kenji", "Lena", "Mika",
    "Nuri", "Olga", "Pablo", "Rosa", "Sami", "Tara", "Yuki",
)  # fmt: skip
SPEAKER = "{A}: {text}"

# --- articles and stories: {V} a value, {A} and {B} persons, the other letters the values of a country ---

ARTICLE_SENTENCES = {
    "capital": ("The capital of {X} is {V}.", "{V} is the capital of {X}.", "Its capital is {V}."),
    "language": ("The main language of {X} is {V}.", "People in {X} speak {V}.", "Its main language is {V}."),
    "currency": ("The currency of {X} is {V}.", "People in {X} pay with {V}.", "Its currency is {V}."),
    "continent": ("{X} is a country of {V}.", "{X} is in {V}.", "Among the countries of {V} is {X}."),
    "population": ("{X} has {V} people.", "{V} people live in {X}."),
    "neighbours": ("{X} borders {V}.", "It borders {V}."),
}
STORY_OPENINGS = (
    "{A} came from {X}.",
    "One summer {A} and {B} travelled to {X}.",
    "{A} had always dreamed of {X}.",
    "Last year {A} moved to {X} with {B}.",
)
STORY_MIDDLES = {
    "capital": (
        "The train took them to the capital of {X}, {V}.",
        "First they saw {V}, the capital.",
        "A letter from {V}, the capital of {X}, was still in the old bag.",
    ),
    "language": (
        "Everybody in {X} spoke {V}, so {A} learned a few words.",
        '"We speak {V} here," said an old man.',
        "{A} bought a small book to learn {V}, the main language of {X}.",
    ),
    "currency": (
        "At the market of {X} they paid with {V}.",
        "{A} kept one coin of the currency of {X}, {V}.",
        "Bread was cheap in {X}, and they paid for it with {V}.",
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

# --- purposes: explain, encourage, recommend, reconcile, say where one knows it from ---

EXPLAIN = {
    "child": ("Explain {X} to a child.", "Tell a child about {X}.", "explain {x} to a child"),
    "expert": ("Explain {X} to an expert.", "Tell an expert about {X}.", "explain {x} to an expert"),
}
EXPLANATIONS = {
    "child": "{X} is a country. It is in {continent}. Its main city is {capital}. People there speak {language}.",
    "expert": "{X} is a sovereign state of {continent} with a population of {population}, its seat of government in "
    "{capital}, {language} as its predominant language and {currency} as legal tender.",
}
CHILD_WORDS, EXPERT_WORDS = 8, 14  # per sentence: at most, at least
EXPERT_TERMS = ("sovereign", "predominant", "legal tender", "seat of government", "population", "inhabitants")
DISCOURAGED = (
    "I got the {noun} of {X} wrong again.",
    "I always forget the {noun} of {X}.",
    "I will never learn the {noun} of {X}.",
    "i am too stupid to learn the {noun} of {x}",
)
ENCOURAGEMENTS = (
    "Do not give up. {fact} You will know it next time.",
    "You are getting better. {fact}",
    "Everybody forgets things. {fact} Try again tomorrow.",
)
ENCOURAGING = ("do not give up", "you will know it", "you are getting better", "everybody forgets", "try again")
WISH_KINDS = {  # of a warm climate, of an island; None: not said
    (None, None): "a country", (True, None): "a warm country", (False, None): "a cool country",
    (None, True): "an island", (True, True): "a warm island", (False, True): "a cool island",
}  # fmt: skip
WISH_PLACES = {"continent": " in {V}", "language": " where people speak {V}"}
WISH = ("I want {wish}.", "I am looking for {wish}.", "Can you recommend {wish}?", "i want to go to {wish}")
RECOMMENDATIONS = ("I recommend {X}.", "Go to {X}.", "{X} is what you want.")
ASK_BACK = {"language": "Which language should people speak there?", "continent": "On which continent should it be?"}
ASKED_BACK = ("language", "continent", "warm", "island", "what do you like")
REPLIES = {"language": ("{V}.", "{V}", "They should speak {V}."), "continent": ("{V}.", "In {V}.", "In {V}, please.")}
LIKES = "{A} gives {list}."
LIKE = "{X} {n}"
LIKES_MOST = 3
RECONCILE = ("{likes} Where should they go together?", "{likes} Which country suits both?")
COMPROMISES = ("They should go to {X}.", "{X} suits both.")
SOURCE_QUESTIONS = ("{Q} How do you know?", "{Q} What is your source?")
SOURCES = {
    "capital": "GeoNames", "continent": "GeoNames", "population": "GeoNames", "neighbours": "GeoNames",
    "language": "Unicode CLDR", "currency": "Unicode CLDR",
}  # fmt: skip
SOURCED = "{fact} My source is {source}."
