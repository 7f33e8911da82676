"""Word lists for the grammar in `corpus.py`, all written for this project."""


def _words(text: str) -> list[str]:
    return text.split()


NAMES = _words("""
Alice Bob Carol David Emma Frank Grace Henry Isabel Jack Kate Laura Mary Michael Nancy Oliver Paul Peter Rachel Robert
Sarah Susan Thomas Tom Victoria William Anna Ben Charles Daniel Edward George Helen James John Julia Karen Linda Lucy
Mark Martin Maria Nick Patrick Richard Sam Simon Sophie Steven Tim Tony Adam Alex Amy Andrew Brian Chris Claire Diana
Eric Ian Jane Jason Jennifer Jim Joe Kevin Lisa Matthew Mike Nicole Philip Rose Ruth Ryan Scott Sean Stephen Walter
Barbara Catherine Douglas Elizabeth Gary Harry Jacob Justin Kelly Larry Leo Max Neil Olivia Ray Roger Steve Will
""")

SURNAMES = _words("""
Smith Jones Brown Taylor Wilson Johnson White Martin Anderson Thompson Clark Lewis Walker Hall Young King Wright Hill
Green Baker Carter Mitchell Roberts Turner Phillips Campbell Parker Evans Edwards Collins Stewart Morris Cook Morgan
Bell Murphy Cooper Ward Gray Watson Brooks Kelly Price Bennett Wood Ross Henderson Jackson Harris Miller Davis
""")

PLACES = _words("""
London Paris Berlin Boston Chicago Dublin Rome Madrid Tokyo Toronto Sydney Washington Oxford Cambridge Manchester
Edinburgh Amsterdam Vienna Moscow Dallas Denver Seattle Houston Miami Atlanta Portland Philadelphia Melbourne Athens
Germany France Italy Spain Canada Australia India China Japan America England Scotland Ireland Brazil Mexico Egypt
Europe Africa Asia Texas California Florida Sweden Norway Russia Greece Turkey Holland Israel Poland
""")

DAYS = _words("Monday Tuesday Wednesday Thursday Friday Saturday Sunday")
MONTHS = _words("January February March April May June July August September October November December")

# Things: a plural is made by rule.
THINGS = _words("""
account address agenda agreement airport album alarm answer apartment apple article artist attempt author award baby
bag ball band bank basket bath beach bed bell bicycle bill bird boat bone book border bottle bowl box boy branch bread
breakfast bridge brother budget building bus business button cable cake calendar call camera camp candle car card
carpet case cat chain chair chance change chapter check cheese chicken child church city class client clock cloud club
coach coast coat code coffee coin college color comment committee company computer concert condition contract copy
corner country course cousin cow cup customer cup curtain customer dance daughter deal decision degree delay delivery
department design desk detail device dinner direction director discussion doctor document dog door draft dream dress
drink driver duck editor effect effort egg email employee end engine engineer error essay evening event exam example
exercise exit experiment expert eye face fact factory failure family farm farmer father feature field figure file film
finger fire fish flag flight floor flower folder foot forest form fox friend game garden gate gift girl glass goal
grandfather group guest guide guitar hall hand hat head heart hill hobby holiday home horse hospital hotel hour house
husband idea image industry interview invitation invoice island issue jacket job journey judge key kid king kitchen
knife lady lake lamp language laptop law lawyer leader leaf lesson letter level library light line link lion list lock
lunch machine magazine manager map market match meal meeting member memory menu message method mile minute mirror
mistake model moment month moon morning mother mountain mouth movie museum name neighbor network newspaper night nose
note notebook number nurse object offer office officer opinion option orange order package page painting pair paper
parent park partner party password patient payment pen pencil person phone photo piano picture piece pilot pipe place
plan plane plant plate player poem point policy pool position post potato present president price printer prize
problem process product professor program project proposal purpose quarter queen question radio reason receipt recipe
record report request result review ring river road room rose route rule sale sample sandwich schedule school
scientist screen sea season seat secret secretary section sentence server service shape ship shirt shoe shop show side
sign sister skill sky smile snake soldier solution son song sound spoon spring stage star station step stone store
storm story street student study subject summary summer sun supplier surprise system table task taxi teacher team
telephone test theater theory thing thought ticket tool tooth tour town toy train trip truck uncle university update
vacation valley value version video view village visit visitor voice wall watch way weekend wedding week wheel wife
wind window winner winter woman word worker world writer year zoo
""")

# Stuff: no plural, no article.
STUFF = _words("""
advice air art beauty beer blood bread butter cheese chocolate coffee corn cotton courage electricity energy equipment
experience fire food freedom fruit fun furniture gas glass gold grass hair happiness health help history homework
honey ice information iron juice justice knowledge land light love luck luggage mail meat metal milk money music
nature news oil paper patience peace plastic power progress rain rice salt sand silence silver sleep smoke snow soap
software soup space steel sugar tea time traffic trouble truth water weather wine wood wool work
""")

IRREGULAR_PLURALS = {
    "child": "children", "foot": "feet", "tooth": "teeth", "woman": "women", "person": "people", "wife": "wives",
    "knife": "knives", "leaf": "leaves", "fish": "fish", "series": "series", "potato": "potatoes",
}  # fmt: skip

# Verbs that take an object.
VERBS_OBJECT = _words("""
accept add allow answer approve attach bring build buy call cancel carry change check choose clean close collect
compare complete confirm copy correct cover create cut deliver describe design discuss draw drive drop eat enjoy
expect explain fill find finish fix follow forget forward get give hear help hide hold improve include join keep know
leave like load lose love make mark mention miss move need notice offer open order paint park pay plan play prepare
print produce promise protect prove publish pull push put read receive record remember remove rename repair repeat
replace report review save see sell send share show sign start steal stop study support take taste teach test throw
touch translate try turn understand update use visit want wash watch wear win write
""")

# Verbs that stand alone.
VERBS_ALONE = _words("""
agree appear arrive begin change continue cook cry dance disagree dream drive eat fall fly grow happen jump laugh ring
shake learn leave lie listen live look move pass play rest return rise run sing sit sleep smile speak stand stay swim
talk think travel wait wake walk win work worry write
""")

# past, participle
IRREGULAR_VERBS = {
    "begin": ("began", "begun"), "bring": ("brought", "brought"), "build": ("built", "built"), "buy": ("bought", "bought"),
    "choose": ("chose", "chosen"), "cut": ("cut", "cut"), "draw": ("drew", "drawn"), "drive": ("drove", "driven"),
    "eat": ("ate", "eaten"), "fall": ("fell", "fallen"), "find": ("found", "found"), "fly": ("flew", "flown"),
    "forget": ("forgot", "forgotten"), "get": ("got", "got"), "give": ("gave", "given"), "grow": ("grew", "grown"),
    "hear": ("heard", "heard"), "hide": ("hid", "hidden"), "hold": ("held", "held"), "keep": ("kept", "kept"),
    "know": ("knew", "known"), "leave": ("left", "left"), "lie": ("lay", "lain"), "lose": ("lost", "lost"),
    "make": ("made", "made"), "pay": ("paid", "paid"), "put": ("put", "put"), "read": ("read", "read"),
    "ring": ("rang", "rung"), "rise": ("rose", "risen"), "run": ("ran", "run"), "see": ("saw", "seen"), "sell": ("sold", "sold"),
    "send": ("sent", "sent"), "shake": ("shook", "shaken"), "show": ("showed", "shown"), "sing": ("sang", "sung"), "sit": ("sat", "sat"),
    "sleep": ("slept", "slept"), "speak": ("spoke", "spoken"), "stand": ("stood", "stood"), "steal": ("stole", "stolen"),
    "swim": ("swam", "swum"), "take": ("took", "taken"), "teach": ("taught", "taught"), "think": ("thought", "thought"),
    "throw": ("threw", "thrown"), "understand": ("understood", "understood"), "wake": ("woke", "woken"),
    "wear": ("wore", "worn"), "win": ("won", "won"), "write": ("wrote", "written"),
}  # fmt: skip

# Verbs whose last consonant doubles.
DOUBLING = set(_words("begin cut drop forget get plan put run sit stop swim win"))

ADJECTIVES = _words("""
able afraid alone amazing ancient angry annual available average bad beautiful best better big bitter black blue bold
brave brief bright broken brown busy calm careful cheap clean clear clever close cold comfortable common complete
complex cool correct crazy curious dangerous dark dead deep different difficult direct dirty double dry due early easy
electric empty entire equal exact excellent expensive extra fair famous fast fat fine final first flat foreign free
fresh friendly full funny general gentle glad golden good gray great green happy hard healthy heavy high honest hot
huge hungry ill important impossible independent interesting kind large last late lazy left legal light little local
lonely long loose loud lovely low lucky main medical modern natural near necessary new next nice noisy normal north
odd official old only open ordinary original other own past patient perfect personal physical pink plain pleasant
polite poor popular possible powerful practical pretty previous private proud public pure quick quiet rare ready real
recent red regular responsible rich right rough round royal sad safe same secret separate serious sharp short sick
silent silly similar simple single slow small smart smooth social soft special square strange strict strong stupid
sudden sure sweet tall terrible thick thin tired tiny total tough true typical ugly unhappy unusual useful usual
valuable various warm weak wet white whole wide wild wise wonderful wooden wrong yellow young
""")

ADVERBS = _words("""
again almost already also always carefully certainly clearly completely easily early especially even ever exactly
finally forever generally gently happily immediately just late loudly maybe nearly never now often only perhaps
probably quickly quietly quite rarely really recently seldom slowly sometimes soon still suddenly surely then today
together tomorrow tonight usually very well yesterday yet
""")

SHOPPING = _words("""
apples bananas oranges tomatoes potatoes carrots onions eggs milk bread butter cheese rice sugar salt pepper coffee
tea juice chicken beef fish soup chocolate honey flour beans corn lemons grapes nuts salad soap candles paper
batteries cookies cream water beer wine
""")
