"""Word lists of the generators; ordinary English words, chosen so that plain sentences sound plain."""


def _split(text: str) -> tuple[str, ...]:
    return tuple(text.split())


NAMES = _split(
    "Anna Ben Carla David Emma Felix Grace Henry Ida Jack Karen Leo Maria Noah Olivia Paul Rosa Sam Tina Victor Wendy "
    "Alice Bruno Clara Daniel Ella Frank Gina Hugo Iris Jonas Kate Lucas Mona Nina Oscar Peter Ruth Simon Tom Ursula "
    "Amy Brian Cora Dora Eric Fiona George Hannah Ivan Julia Kevin Laura Martin Nora Omar Paula Robert Sara Thomas Vera"
)

ITEMS = {
    word.split("/")[0]: word.split("/")[1]
    for word in _split(
        "apple/apples pear/pears orange/oranges lemon/lemons plum/plums peach/peaches cherry/cherries banana/bananas "
        "melon/melons grape/grapes carrot/carrots potato/potatoes tomato/tomatoes onion/onions egg/eggs cookie/cookies "
        "cake/cakes muffin/muffins candy/candies nut/nuts book/books pencil/pencils pen/pens marker/markers card/cards "
        "stamp/stamps coin/coins button/buttons bead/beads shell/shells stone/stones marble/marbles ball/balls "
        "toy/toys doll/dolls kite/kites balloon/balloons sticker/stickers ribbon/ribbons flower/flowers rose/roses "
        "tulip/tulips seed/seeds leaf/leaves cup/cups plate/plates spoon/spoons bottle/bottles box/boxes bag/bags "
        "basket/baskets candle/candles lamp/lamps key/keys ring/rings hat/hats scarf/scarves sock/socks shirt/shirts "
        "ticket/tickets letter/letters photo/photos map/maps brush/brushes rope/ropes brick/bricks tile/tiles "
        "nail/nails screw/screws fish/fish chicken/chickens duck/ducks sheep/sheep goat/goats rabbit/rabbits"
    )
}

ANIMALS = _split(
    "cat dog horse cow pig sheep goat rabbit mouse fox wolf bear deer lion tiger monkey elephant giraffe zebra camel "
    "duck goose hen owl eagle crow swan parrot frog toad snake turtle fish whale dolphin shark crab spider bee ant"
)

PEOPLE = _split(
    "teacher doctor farmer baker driver pilot sailor painter singer dancer writer reader nurse cook waiter tailor "
    "gardener builder plumber carpenter miner hunter fisher soldier guard judge lawyer student child girl boy woman "
    "man mother father sister brother uncle aunt cousin neighbour friend grandmother grandfather king queen "
    "prince princess"
)

PLACES = _split(
    "house garden kitchen school market park forest river lake sea beach island mountain hill valley village town city "
    "street bridge station harbour farm barn field meadow library museum theatre hospital church castle tower cave "
    "bakery shop office factory workshop playground zoo desert road path square yard cellar attic balcony"
)

ADJECTIVES = _split(
    "old young big small tall short long little quick slow happy sad quiet loud kind brave clever lazy gentle proud "
    "shy strong weak rich poor clean dirty warm cold hot cool dry wet soft hard heavy light bright dark new empty full "
    "round flat sharp smooth rough sweet sour fresh green red blue yellow white black brown grey golden silver "
    "wooden broken"
)

FOODS = _split(
    "bread butter cheese milk soup rice pasta salad honey jam sugar salt pepper tea coffee juice water chocolate cream "
    "pie pancakes porridge beans corn mushrooms noodles sausage ham yoghurt pudding"
)

VERBS_PAST = _split(
    "saw found carried bought sold painted washed cleaned opened closed lifted dropped followed watched helped "
    "thanked called visited remembered forgot liked loved feared hid showed brought took kept lost moved pulled pushed "
    "held fed drew built broke fixed counted measured caught threw touched smelled heard met taught asked greeted"
)

MOVES_PAST = _split(
    "walked ran jumped swam flew climbed drove sailed travelled hurried wandered marched crept danced rode returned "
    "moved went came rolled slid skipped"
)

THINGS = _split(
    "table chair bed door window clock mirror picture blanket pillow carpet curtain shelf drawer ladder bucket broom "
    "hammer saw knife fork pot pan kettle oven wheel cart wagon boat ship train bus bicycle car coat dress jacket shoe "
    "boot glove umbrella purse wallet watch necklace drum violin piano trumpet guitar bell flag tent net sail anchor"
)

WEATHER = (
    "The sun was shining",
    "It was raining",
    "It was snowing",
    "The wind was strong",
    "The sky was grey",
    "The night was clear",
    "The morning was cold",
    "The air was warm",
    "There was thick fog",
    "The evening was quiet",
)

TIMES = (
    "In the morning",
    "At noon",
    "In the evening",
    "At night",
    "One day",
    "Last week",
    "On Monday",
    "On Friday",
    "On Sunday",
    "In spring",
    "In summer",
    "In autumn",
    "In winter",
    "A long time ago",
    "After school",
    "Before dinner",
    "Every year",
)
