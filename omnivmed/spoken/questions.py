"""What a question asks for: tables of patterns over its words, and one function that reads them.

English, as typed by people in a hurry. Order matters: the first topic that fits is the one. A pattern matches the whole
question in lower case, greetings in front of it taken off, slips of the pen in telling words undone
(`withhold.mended`).
"""

from __future__ import annotations

# ruff: noqa: E501 -- a pattern or a sentence is read as one line
import re
from dataclasses import dataclass
from typing import Literal

from omnivmed.spoken.withhold import mended

Topic = str
Group = Literal["talk", "file", "picture", "beyond", "unknown"]

_SELF = r"(?:you|u|this (?:model|app|program|page|tool|software|ai|bot|assistant)|nano|omni-?v-?med|the (?:model|app|ai|assistant))"
_THING = (
    r"(?:image|picture|pic|photograph|photo|scan|slices?|volume|study|series|stack|clip|video|movie|recording|film|file|"
    r"x-?ray|xray|radiograph|ct|mri?|mr|ultrasound|sonogram|echo|loop|cine|dataset|data|exam|examination)"
)
_THIS = rf"(?:this|that|it|these|here|the (?:\w+ ){{0,2}}{_THING}|my (?:\w+ )?{_THING})"
_KINDS = (
    r"(?:ct|cat scan|computed tomogra\w+|mri?|magnetic resonance\w*|x-?rays?|radiographs?|ultrasounds?|sonogra\w+|echo\w*|"
    r"mammogra\w+|pet|scintigra\w+|endoscop\w+|colonoscop\w+|gastroscop\w+|laparoscop\w+|microscop\w+|histolog\w+|fundus|"
    r"angiogra\w+|fluoroscop\w+|oct|photograph)"
)
_BODY = (
    r"(?:head|brain|skull|chest|thorax|lungs?|heart|abdomen|abdominal|belly|pelvis|spine|neck|hand|wrist|knee|foot|hip|"
    r"shoulder|leg|arm|breast|eye|retina|liver|kidneys?|bowel|stomach|blood)"
)
_WHICH = r"(?:what(?:'s|s| is| are)?|which|tell me|name|identify|give me|do you know|can you tell(?: me)?)"

#: topic → patterns, in the order in which they are tried. A question about the study is told from talk by what it names.
TABLE: tuple[tuple[Group, Topic, str], ...] = (
    # ------------------------------------------------------------------------------------ talk
    ("talk", "hello", r"^(?:hi+|hey+|hello+|yo|howdy|hiya|good (?:morning|afternoon|evening|day)|greetings|salut)(?: there| again| all| everyone| nano| doctor| doc)*$"),
    ("talk", "thanks", r"^(?:(?:ok(?:ay)?|great|nice|cool|perfect|super|good|well done|very|wow|awesome)\W*)*(?:thank(?:s| you)?(?: (?:so|very) much| a lot)?|thx|ty|cheers|great|nice|cool|perfect|super|well done|good (?:job|work|answer)|awesome|wow|ok(?:ay)?|i see|got it|lol|haha+)$"),
    ("talk", "bye", r"^(?:ok(?:ay)?\W*)?(?:good ?bye|bye(?: bye)?|see you(?: later)?|ciao|good night)$"),
    ("talk", "sure", r"^(?:really|are you (?:really |very |absolutely |quite )*(?:sure|certain|confident|positive)(?: (?:of|about) (?:that|this|it|your answer))?|sure|is (?:that|this|it) (?:right|correct|true)|how (?:sure|certain|confident) are you.*|how do you know(?: that| this)?|why(?: do you (?:think|say) (?:so|that|this))?|explain(?: (?:that|your answer|why))?|(?:that|this)(?:'s| is| was) (?:wrong|not (?:right|true|correct)|incorrect|false|nonsense)|no|you(?:'re| are) wrong|wrong)$"),
    ("talk", "trust", rf"\b(?:can|should|may|could|do) (?:i|we|one|people|doctors?) (?:really |safely )?(?:trust|rely on|believe)\b|\bhow (?:accurate|reliable|good|precise|trustworthy|often .*(?:right|wrong)) (?:are|is|do)?\b.*\b{_SELF}?|\b(?:are|is) {_SELF} (?:accurate|reliable|any good|trustworthy|safe|approved|certified|ce.marked|fda)|\b(?:fda|ce)\b.*\b(?:approved|cleared|marked?|certified)|\bclinical(?:ly)? (?:use|valid\w*|approved)|\bcan (?:i|we) use (?:this|you|it) (?:for|in|on) (?:diagnos|clinic|patient|hospital|real)|\b(?:your|its) (?:accuracy|limitations?|limits|errors?|performance)\b|\bmake mistakes\b|\bhallucinat"),
    ("talk", "what-can", r"\bwhat (?:can|could|do|else can) (?:you|u|i|we|it|nano)(?: (?:do|ask|know|answer|tell|say|offer))+\b(?! (?:of|about) (?:this|the|it))|\bwhat (?:should|shall|may) i ask\b|\bhow (?:can|do|does|should) (?:you|i|we|it|this)(?: \w+)? ?(?:help|use|work|ask|start|begin)\b|\bwhat are (?:you|your) (?:able|capab\w+|skills|functions?|features)|\bcan you help\b|^help(?: me)?(?: please)?$|^(?:please )?help$|\bwhat is this (?:app|tool|page|program|website|site|demo)\b|\bhow does (?:this|it|that|the (?:app|page|program|tool)) work\b|\bwhat questions\b|\bexamples? (?:of )?questions?\b|^(?:what now|now what|and now|menu|options|start)$"),
    ("talk", "who", rf"\bwho (?:are you|r u|am i talking (?:to|with)|(?:made|built|created|trained|developed|wrote|programmed) {_SELF}|is (?:speaking|answering|talking|this))\b|\bwhat are you$|\bwhat(?:'s| is) your name\b|\bwhat (?:model|ai|llm|version|language model|network) (?:are you|is (?:this|it|speaking|answering|behind))|\bwhich (?:model|ai|llm|version|network)\b(?! of)|\bare you (?:a |an |the )?(?:real |human )?(?:human|person|robot|bot|ai|doctor|radiologist|physician|chatgpt|gpt|gemini|claude|machine|computer|nurse)\b|\bhow (?:big|large|old|many parameters) (?:are you|do you have|is (?:nano|the model))|\btell me about yourself\b|\bwhat were you trained\b|\bhow were you trained\b|\bwhere do you (?:come|run|live)\b|\bdo you (?:have (?:feelings|a name)|sleep|dream|love|like)\b"),
    ("talk", "privacy", r"\b(?:do|does|are|is|will|where|who)\b.*\b(?:my |the |these |this )?(?:data|image|images|file|files|upload\w*|picture|pictures|questions?|conversation|chat)s?\b.*\b(?:stor|sav|kept|keep|sent|send|shar|private|privacy|secure|safe|cloud|leave|upload|train|delet|see|access|stays?|go)\w*\b|\b(?:stor|sav|keep|send|shar|upload|delet)\w*\b.*\b(?:my|the|these|this|our) (?:data|images?|files?|pictures?|stud(?:y|ies)|scans?|questions?)\b|\b(?:privacy|gdpr|hipaa)\b"),
    ("talk", "larger", r"\b(?:load|use|try|switch|change|get|install|run|is there|have)\b.*\b(?:another|larger|bigger|better|different|other|stronger|smarter)\b.*\b(?:model|ai|network|checkpoint)s?\b|\bbetter model\b|\bbigger model\b"),
    ("talk", "joke", r"\b(?:joke|poem|song|story|haiku|riddle)\b|\bsing\b"),
    ("talk", "chat", r"\bhow (?:are|r) (?:you|u)\b|\bhow(?:'s| is) (?:it going|your day|life)\b|\bwhat(?:'s| is) up$|\bnice to meet\b|\bi(?:'m| am) (?:bored|tired|sad|happy|hungry|overwhelmed|stressed|worried|scared|a (?:doctor|student|radiologist|teacher|patient|nurse|researcher))\b|\bi (?:love|hate|like) (?:you|this)\b|\b(?:weather|football|capital of|president|prime minister|stock|bitcoin|recipe|movie star|election)\b|\bwhat (?:time|day|date) is it\b|\bwhat(?:'s| is) the (?:time|date|weather)\b|^\W*\d[\d\s+*/.()=-]*\W*$|\bwhat(?:'s| is) \d+ ?(?:\+|-|\*|x|times|plus|minus|/) ?\d+|\bmeaning of life\b|\btest(?:ing)?$|^(?:test|foo|bar|asdf\w*|qwert\w*|abc|lorem ipsum.*|blah.*)$"),
    ("talk", "translate", r"\b(?:translate|speak|answer|reply|say (?:it|that|this)|respond|write)\b.*\b(?:german|french|spanish|italian|chinese|japanese|hindi|arabic|russian|portuguese|dutch|turkish|polish|korean|latin|another language|other languages?)\b|\bdo you (?:speak|understand|know)\b.*\b(?:german|french|spanish|italian|chinese|japanese|hindi|arabic|russian|portuguese|dutch|language)"),
    ("talk", "orders", r"\b(?:ignore|forget|disregard)\b.*\b(?:previous|above|all|your|prior)\b.*\b(?:instructions?|rules?|prompt)|\bsystem prompt\b|\bpretend\b|\brole ?play\b|\bact as\b|\bjailbreak"),
    ("talk", "code", r"\b(?:write|give me|show me)\b.*\b(?:code|python|program|script|email|essay|letter|function)\b"),
    # ------------------------------------------------------------------- words of this page, explained
    ("talk", "word:pruning", r"\b(?:what(?:'s| is| are| does)|explain|define|how (?:do|does)|why)\b.*\b(?:prun\w+|tokens? (?:kept|dropped|removed)|(?:token )?threshold|blue (?:tiles?|squares?|overlay|veil)|overlay)\b"),
    ("talk", "word:token", r"\b(?:what(?:'s| is| are)|explain|define)\b (?:an? |the )?(?:visual )?tokens?\b"),
    ("talk", "word:hu", r"\b(?:what(?:'s| is| are| does)|explain|define)\b.*\b(?:hounsfield|hu\b)"),
    ("talk", "word:window", r"\b(?:what does|explain|define|what(?:'s| is) an?)\b.*\bwindow(?:ing)?\b|\bwhat(?:'s| is) (?:window(?:ing)?(?: level| width)?|level and width)$|\bwhat do(?:es)? (?:level|width|l and w|window\w*)(?: and (?:level|width))? mean"),
    ("talk", "word:plane", r"\b(?:what (?:does|do|is|are)|what's|explain|define)\b (?:an? |the )?(?:word )?(?:axial|coronal|sagittal)(?: (?:plane|view|slice)s?)?(?: mean)?$|\bdifference between (?:axial|coronal|sagittal)\b"),
    ("talk", "word:view", r"\b(?:what (?:does|do)|what(?:'s| is)|explain)\b (?:an? )?(?:pa|ap)(?: (?:and|or|vs|versus) (?:pa|ap))?(?: views?)?(?: mean| stand for)?$|\bdifference between (?:pa|ap)\b"),
    ("talk", "word:kinds", rf"\b(?:what(?:'s| is) the )?difference between (?:an? )?{_KINDS} (?:and|or) (?:an? )?{_KINDS}|^{_WHICH} (?:an? |the )?(?:ct|cat scan|mri|mr|x-?ray|ultrasound|radiograph)$|\bhow (?:does|do) (?:an? )?(?:ct|mri|x-?rays?|ultrasound) work|\bwhat does (?:ct|mri|mr) (?:mean|stand for)\b"),
    ("talk", "word:dicom", r"\b(?:what(?:'s| is)|explain|define)\b (?:an? )?(?:dicom|nifti|pacs|dcm)\b"),
    # ------------------------------------------------------------------------------------ beyond: no report, no finding
    ("beyond", "report", r"\breport\b|\bimpression\b|\bdictat\w+|\bsummar(?:y|i[sz]e)\b|\bsecond opinion\b|\bwrite[- ]?up\b"),
    ("beyond", "person", r"\b(?:patient|person|he|she|who)\b.*\b(?:age|old|name|sex|gender|male|female|born|birth|id|weight|height|ethnic\w*|race)\b|\bhow old\b|\b(?:male|female|man|woman|boy|girl|child|adult)\b.*\bor\b|\bis (?:this|it|that) (?:an? )?(?:male|female|man|woman|boy|girl|child|adult|baby|infant|elderly)\b|\bwho(?:se| is| was)\b.*\b(?:patient|scan|x-?ray|person|image|this)\b|\b(?:patient(?:'s)?|subject(?:'s)?) (?:name|age|sex|gender|id|date of birth|dob|history)\b|\bage of\b|\bwhen was\b.*\b(?:taken|made|acquired|scanned|recorded|done)\b|\b(?:date|hospital|doctor|physician|institution|where) .*\b(?:taken|made|acquired|scanned|study|scan)\b|\bwhich hospital\b|\b(?:scanner|machine|manufacturer|vendor|device|brand)\b"),
    ("beyond", "advice", r"\b(?:treat\w*|therap\w+|prescri\w+|medication|drugs?|dose of|surgery|operat(?:e|ion)|should (?:i|he|she|they|the patient|we) (?:be|go|see|take|have|get|worry)|worr(?:y|ied)|prognosis|survive|surviv\w+|die|dying|urgent|emergency|next steps?|recommend\w*|follow[- ]?up|cure|what (?:should|shall) (?:i|we) do|how long (?:do|does|will) (?:i|he|she|the patient))\b"),
    # ------------------------------------------------------------------------------------ the file
    ("file", "contrast", r"\bcontrast(?:[- ](?:agent|medium|media|dye|enhanced|enhancement|material|given|used|injected|administered))|\bcontrast\b(?=.*\b(?:given|used|injected|administered|agent|medium|dye|phase|enhanced|without|with|is there|has|have|had|was|were|it)\b)|\b(?:with|without|was|were|is|has|have|had|any|iv|intravenous|post|pre|non)[- ].*\bcontrast\b|\benhanced\b|\bgadolinium\b|\biodin\w+|\bnon-?contrast\b|\bnative scan\b"),
    ("file", "thickness", r"\bthick(?:ness)?\b(?=.*\b(?:slice|slices|section|sections|cut|cuts|it|they|each)\b)|\b(?:slice|section|slab|cut)s?[- ]thick\w*|\bhow (?:thick|thin)\b|\bthin(?:ner)? (?:slices|sections|cuts)\b|\b(?:slice|section) width\b"),
    ("file", "step", r"\b(?:gap|distance|spacing|step|interval|increment|separation)s? (?:between|from|of) (?:the |each |two |adjacent |neighbou?ring |successive )*(?:slice|slices|section|sections)\b|\b(?:slice|inter-?slice|z)[- ]?(?:spacing|gap|distance|step|interval|increment)\b|\bhow far apart\b|\b(?:slices?|spacing) (?:even|evenly|equal|equidistant|regular|uniform)"),
    ("file", "extent", r"\bhow (?:much|many|large|big|long|far|wide|tall)\b.*\b(?:cover\w*|cm|centimet\w+|mm|millimet\w+|field of view|fov|anatomy)\b|\b(?:field[- ]of[- ]view|fov|coverage|scan (?:length|range|extent)|extent)\b|\bcovers?\b.*\b(?:cm|mm|body|long|much)\b|\bhow (?:long|large|big|tall|wide) (?:is|are) (?:the )?(?:scan(?:ned)?|covered|imaged|field|volume)(?: (?:region|area|volume|range|part))?$|\bphysical size\b|\b(?:size|dimensions?) in (?:cm|mm|centimet\w+|millimet\w+)\b|\bscale bar\b"),
    ("file", "spacing", r"\b(?:pixel|voxel|in-?plane)s?(?:'s)?[- ]?(?:size|spacing|dimension|resolution|pitch|volume|width)s?\b|\b(?:size|dimensions?|spacing) of (?:a |the |each |one )?(?:pixel|voxel)s?\b|\bspatial resolution\b|\bspacing\b|\bmm (?:per|a|in a) (?:pixel|voxel)\b|\bhow (?:many|large|big) .*(?:mm|millimet\w+) .*(?:pixel|voxel)|\bhow (?:large|big|small) (?:is|are) (?:a |the |each |one )?(?:pixel|voxel)s?\b|\bisotropic\b|\bcalibrat\w+\b"),
    ("file", "slices", r"\b(?:how many|number of|no\.? of|count (?:the|of)|total)\b.*\b(?:slice|slices|sections?|images?|cuts|layers|planes)\b|\b(?:slice|image) (?:count|number)\b|\bhow many (?:are there|does it have|pictures)\b"),
    ("file", "frames", r"\b(?:how many|number of|no\.? of|count (?:the|of)|total)\b.*\bframes?\b(?!.*(?:per|a|each|every) second)|\bframe count\b"),
    ("file", "rate", r"\b(?:frame|sampling|refresh|acquisition)[- ]?rate\b|\bfps\b|\bframes? (?:per|a|each|every|/) ?(?:second|s|sec)\b|\bhow fast\b.*\b(?:recorded|filmed|frames?|clip|video|sampled|running)\b|\btemporal resolution\b"),
    ("file", "duration", rf"\bhow long\b(?=.*\b(?:{_THING}|last|it|this|run|take|seconds?)\b)|\bduration\b|\b(?:length|running time) of (?:the |this )?(?:clip|video|movie|recording|loop|cine|film)\b|\b(?:clip|video|recording|loop|cine)(?:'s)? (?:length|duration)\b|\bhow many (?:seconds|minutes)\b"),
    ("file", "matrix", rf"\bin (?:pixels|voxels)\b|\b(?:matrix|resolution|dimensions?|pixel count|megapixels?|mpix|mp)\b(?! of (?:the |a )?(?:heart|tumou?r|lesion|nodule|liver|spleen|mass|kidney))|\bhow many (?:pixels|voxels|rows|columns)\b|\b(?:size|width|height|shape|format) of (?:the |this |an? |each )?(?:\w+ )?{_THING}\b|\b(?:image|picture|frame|slice|file|scan|video|clip|volume)(?:'s)? (?:size|width|height|shape|dimensions?)\b|\bhow (?:big|large|wide|high) (?:is|are) (?:the |this |each )?(?:image|picture|frame|slice|scan|file|video|clip|photo|it|they)s?\b|\bin pixels\b|\bpixels\b$"),
    ("file", "window", r"\b(?:which|what|current|used|the|set|is)\b.*\bwindow(?:ing)?\b|\bwindow(?:ing)? (?:level|width|setting|center|centre|is|used|set|preset|values?)\b|\b(?:level|width) and (?:level|width|window)\b|\bw/?l\b|\bwl/?ww\b|\bww\b|\bgrey ?scale window\b|^window$"),
    ("file", "colour", r"\b(?:in |a )?colou?r(?:ed|s)?\b|\bgr[ae]y[- ]?scale\b|\bblack[- ](?:and|&)[- ]white\b|\bmonochrome\b|\brgb\b|\binverted\b"),
    ("file", "bits", r"\b(?:bit|bits)\b(?! of)|\bbit ?depth\b|\bgr[ae]y (?:levels|values)\b|\bdynamic range\b"),
    ("file", "unit", r"\b(?:hounsfield|hu)\b|\b(?:unit|units|scale) (?:of|are|is)\b|\bwhich units?\b|\bwhat units?\b"),
    ("file", "edges", r"\b(?:left|right)\b.*\b(?:side|letter|marker|edge|orientation|where|which|patient|screen|picture|image)\b(?!.*\b(?:lung|heart|kidney|ventricle|lesion|fracture|clavicle|normal|opac\w+|effusion|lobe|bigger|larger)\b)|\bwhich (?:side|way)\b(?!.*\b(?:lesion|tumou?r|fracture|effusion|disease|worse|affected|abnormal\w*|stroke)\b)|\b(?:orientation|oriented|laterality|radiological convention|flipped|mirrored|upside[- ]down)\b|\bwhere(?:'s| is) (?:the )?(?:left|right|front|back|anterior|posterior|top|head end|feet)\b|\bhead first\b"),
    ("file", "laterality", r"\b(?:left or right|right or left)\b"),
    ("file", "timing", r"\b(?:echo time|repetition time|te|tr|flip angle|te/tr|tr/te)\b(?=.*\b(?:te|tr|time|angle|ms)\b|\W*$)"),
    ("file", "field_tesla", r"\b(?:tesla|field strength|magnet\w* (?:field|strength)|[13](?:\.5)? ?t)\b"),
    ("file", "tube_kv", r"\b(?:kv|kvp|tube voltage|kilovolt\w*)\b"),
    ("file", "header", r"\b(?:header|metadata|meta data|dicom tags?|tags|technical (?:data|details|parameters|information|info)|acquisition (?:parameters|details|protocol)|parameters|file (?:details|info\w*)|what does the file (?:say|know|tell))\b|\bfile (?:type|format)\b|\bwhat format\b"),
    # ------------------------------------------------------------------------------------ what the picture shows
    ("picture", "view", r"\b(?:front to back|back to front)\b|\b(?:anterior|posterior) (?:to|or|and) (?:anterior|posterior)\b|\bdid the x-?rays? (?:go|travel|pass|come|enter)\b|\b(?:pa|ap)\b.*\b(?:or|vs|versus|view|projection|film|image|x-?ray)\b|\bis (?:this|it|that) (?:an? )?(?:pa|ap|lateral|frontal)\b|\b(?:projection|beam)\b|\b(?:which|what) view\b|\bview\b(?=.*\b(?:taken|this|is|parasternal|apical|position)\b)|\b(?:postero-?anterior|antero-?posterior)\b|\b(?:pa|ap)\?*$|\bfrontal or lateral\b|\bparasternal|\bapical\b.*\b(?:view|window)"),
    ("picture", "sequence", r"\b(?:t1|t2|flair|dwi|adc|stir|swi|proton density)\b|\b(?:which|what|mr|mri|pulse|imaging) (?:mri? )?(?:sequence|weighting)\b|\bsequence\b|\bweight(?:ed|ing)\b"),
    ("picture", "plane", r"\b(?:axial|coronal|sagittal|transverse|transaxial|oblique)\b|\b(?:which|what|the|anatomical|imaging|slice|slicing|scan) (?:anatomical |imaging |slice |scan )?(?:plane|orientation|axis|direction)\b|\bplanes?\b|\b(?:cut|sliced)\b.*\b(?:which|how|what)\b|\bhow (?:is|was|are|were) .*\b(?:cut|sliced|oriented)\b"),
)  # fmt: skip

LATER: tuple[tuple[Group, Topic, str], ...] = (
    ("beyond", "finding", r"\b(?:fractur\w*|broken|break|pneumothora\w*|pneumonia|effusion|opacit\w+|consolidation|nodul\w+|mass(?:es)?|lesion\w*|tumou?r\w*|cancer\w*|malignan\w+|metasta\w+|h[ae]?emorrhag\w*|bleed\w*|stroke|infarct\w*|isch\w+|edema|oedema|cardiomegaly|enlarge\w*|dilat\w+|aneurysm\w*|stenos\w+|thromb\w+|embol\w+|calcif\w+|cyst\w*|polyp\w*|ulcer\w*|inflam\w+|infect\w+|abscess\w*|fluid|free air|fat\b|hernia\w*|stone\w*|obstruct\w+|atrophy|sclerosis|plaque|atelecta\w+|fibros\w+|emphysem\w+|covid\w*|tubercul\w+|disease\w*|patholog\w+|abnormal\w*|normal\w*|health\w*|unhealthy|sick|ill|injur\w+|trauma|wrong|problem\w*|concern\w*|suspicious|finding\w*|diagnos\w+|remarkable|clear|symptom\w*|pain|swelling|swollen|dying|dead|alive|ok(?:ay)?|fine|bad|serious|danger\w*|leak\w*|regurgit\w+|valve\w*|murmur|contract\w*|wall motion|hypokine\w+|artefacts?|artifacts?|quality|motion|implant\w*|pacemaker|catheter|tube|device|foreign bod\w+|metal\w*|pregnan\w+|f[oe]*tus|baby|positive|negative|stage|grade|birads|bi-rads|tnm|lung-rads|worse|better|progress\w+|chang\w+|compar\w+)\b"),
    ("beyond", "measure", r"\b(?:how (?:big|large|wide|long|deep|far|high|dense|bright|much|many|often|fast)|measure\w*|size|diameter|length|volume|area|ratio|count|number of|ejection fraction|\bef\b|heart ?rate|bpm|pulse|density|suv|angle|score|percent\w*|thick\w*|weigh\w*|depth|blood pressure|doppler|velocity|gradient)\b"),
    ("beyond", "where", r"\b(?:point|mark|outline|segment|locate|show me|draw|circle|highlight|label|box|colou?r)\b|\bwhere(?:'s| is| are| in)\b|\bwhich (?:slice|frame|lobe|side|segment|vertebra|level|rib)s?\b"),
    ("beyond", "organs", r"\b(?:which|what|list|name|all|how many)\b.*\b(?:organs|structures|bones|muscles|vessels|arteries|veins|ribs|vertebrae|tissues|parts)\b|\b(?:can|do) (?:you|i|we) (?:see|find|recogni[sz]e|identify|detect|spot)\b (?:the |an? |any |some |both )*(?!this|that|it|here)\w+|\bis (?:the |there )?(?:an? |any )?(?:left |right )?(?:liver|spleen|kidneys?|aorta|gallbladder|pancreas|bladder|stomach|uterus|prostate|trachea|diaphragm|ventricles?|atrium|thyroid|adrenals?|oesophagus|esophagus|appendix|colon|bowel|rib|clavicle|sternum)s?\b.*\b(?:visible|seen|shown|here|there|in)\b|\bis there\b|\bare there\b|\bany\b"),
    ("beyond", "moment", r"\bwhat (?:happens|is happening|happened|goes on|is going on|is (?:he|she|the (?:surgeon|doctor|operator)) doing)\b|\bwhich (?:phase|step|tool|instrument|action)s?\b|\b(?:instrument|tool|forceps|scalpel|hook|clipper|grasper|scissors|needle)s?\b|\bat (?:second )?\d+(?:\.\d+)? ?(?:s|sec|seconds|minutes)?\b"),
)  # fmt: skip

KIND = (
    rf"\bmodalit\w+|\b(?:imaging|scan(?:ning)?|examination) (?:method|technique|type|kind|modality)\b|\b(?:kind|type|sort) of (?:an? |the |medical |this )*{_THING}s?\b|\b{_WHICH} (?:the )?(?:imaging )?technique\b|\bhow was (?:this|it|the {_THING}) (?:made|taken|acquired|recorded|produced|obtained)|"
    rf"\b(?:is|was) (?:this|that|it|the {_THING})(?: really| a case of)? (?:an? |the )?(?:\w+ )?{_KINDS}\b|\b{_KINDS} or (?:an? )?{_KINDS}\b|\bwhat type$|^(?:modality|kind|type)$|\b(?:video|movie|clip|recording) of\b.*\b{_KINDS}\b"
)
ORGAN = (
    rf"\b(?:body|anatom\w+) ?(?:part|region|area|site|structure)?\b|\b(?:which|what) (?:organ|part|region|area|anatomy)\b|\borgan (?:is|was|shown|imaged|examined|do)\b|\bwhere in the body\b|\b(?:part|region|area) of the (?:body|patient|person)\b|\b(?:is|was) (?:this|that|it|the {_THING})(?: really)? (?:of |an? |the |from )*(?:human |patient's )?{_BODY}\b|"
    rf"\b{_BODY} or (?:an? |the )?{_BODY}\b|^(?:organ|region|anatomy|body part)$|\b{_THING} of (?:the |an? )?(?:what|which)\b|\bof which (?:organ|part|region)\b|\borgan\b"
)
DESCRIBE = rf"\bdescri\w+|\bwhat (?:do|can|could|did) (?:you|i|we|u) (?:see|look|notice|observe|recogni[sz]e)\b|\bwhat(?:'s| is| are)? (?:(?:being )?shown|visible|seen|displayed|depicted|here|there|this|that|it|on (?:the |this )|in (?:the |this )|going on)\b|\bwhat (?:am|are) (?:i|we|you) (?:looking|seeing|watching|being shown)\b|\bwhat (?:do|have) (?:we|i|you) (?:have|got)(?: here| there)?$|\bwhat (?:does|do) (?:this|it|that|these|the {_THING}) (?:show|depict|display|contain|represent|mean)\b|\b(?:this|it|that) (?:shows?|depicts?) what\b|\b(?:explain|caption|interpret|analy[sz]e|read|identify|tell me about|talk about|look at|comment on|about)\b.*\b(?:{_THIS})\b|^(?:describe|caption|explain|analy[sz]e|interpret|what|and|so)$|\bwhat is (?:the )?{_THING}(?: about| of)?$|\bwhat kind of thing\b|\bwhat about (?:this|it)\b"


# What is in a picture and not in its file. A question about one of these is none about the file, whatever it shares with
# one: "how thick is the heart wall?", "is there a pneumothorax on the left side?".
_FINDING = (
    r"(?:fractur\w*|pneumothora\w*|pneumonia|effusions?|opacit\w+|consolidations?|nodul\w+|mass(?:es)?|lesions?|tumou?rs?|"
    r"cancers?|metasta\w+|h[ae]?ematomas?|h[ae]?emorrhag\w*|bleed\w*|strokes?|infarct\w*|[o]?edema|aneurysms?|stenos[ei]s|"
    r"thromb\w+|embol\w+|calcif\w+|cysts?|polyps?|ulcers?|abscess\w*|hernias?|plaques?|diseases?|abnormalit\w+|findings?)"
)
_STRUCTURE = (
    r"(?:heart|lungs?|liver|kidneys?|spleen|pancreas|gallbladder|bladder|uterus|prostate|bowel|colon|stomach|aorta|"
    r"trachea|mediastin\w+|diaphragm|ribs?|spinal canal|vertebra\w*|bones?|femur|clavicles?|ventricles?|atrium|atria|valves?|"
    r"septum|walls?|arter(?:y|ies)|veins?|vessels?|mucosa\w*|skull|cortex|tissues?|muscles?|nerves?|lymph nodes?|glands?|organs?)"
)
_FILES = rf"\b(?:{_THING}|sections?|cuts?|pixels?|voxels?|frames?)\b"
_SHARED = (
    "edges",
    "laterality",
    "thickness",
    "step",
    "extent",
    "slices",
    "colour",
    "duration",
    "matrix",
    "word:hu",
)


def _of_the_picture(topic: Topic, text: str) -> bool:
    """Whether a question that reads like one about the file is about something in the picture."""
    if topic not in _SHARED:
        return False
    if re.search(rf"\b{_FINDING}\b", text):
        return True
    named = re.search(rf"\b{_STRUCTURE}\b", text) is not None
    return named and (topic in ("edges", "word:hu") or re.search(_FILES, text) is None)


@dataclass(frozen=True)
class Asked:
    """What a question asks for. group: who can know. topic: a row of `spoken.header`, an attribute, or a name of
    `spoken.talk`. text: the question as it was read."""

    group: Group
    topic: Topic
    text: str


def asked(question: str) -> Asked:
    """What this question asks for; group "unknown" where nothing in the tables fits."""
    text = tidy(question)
    for group, topic, pattern in TABLE:
        if re.search(pattern, text):
            if _of_the_picture(topic, text):
                return Asked("beyond", _beyond(text), text)
            return Asked(group, topic, text)
    if re.search(KIND, text):
        return Asked("picture", "modality", text)
    if re.search(ORGAN, text) and not re.search(
        r"\borgans\b", question.lower()
    ):  # `mended` makes one of many
        return Asked("picture", "organ", text)
    if re.search(r"\borgans\b", question.lower()):
        return Asked("beyond", "organs", text)
    found = next(((g, t) for g, t, pattern in LATER if re.search(pattern, text)), None)
    if re.search(DESCRIBE, text) and (found is None or found[1] in ("organs", "moment", "where")):
        return Asked("picture", "describe", text)
    if found is not None:
        return Asked(*found, text)
    return Asked("unknown", "unknown", text)


def _beyond(text: str) -> Topic:
    """Which of the later topics a question about something in the picture is on."""
    found = next((topic for group, topic, pattern in LATER if re.search(pattern, text)), "finding")
    return "measure" if found in ("organs", "moment") else found


def tidy(question: str) -> str:
    """Lower case, one blank between words, no quotes, greeting or full stop around it, slips undone."""
    text = question.lower().replace("’", "'").replace("‐", "-")
    text = " ".join(re.sub(r"[\"“”*_`]", " ", text).split())
    bare = re.sub(r"[\s?!.,;:]+$", "", text)
    rest = mended(bare).strip(" ,;:-")
    rest = re.sub(r"^(?:there\b[\s,!.]*|dear \w+\W+|nano\W+|doctor\W+)", "", rest)
    return (rest if re.search(r"\w", rest) else bare).strip()


PLACE = re.compile(
    r"\s*(?:(?:on|in|at|look at)\s+)?(?:(?:the\s+)?(?:slice|frame)\s+(?:number\s+|no\.?\s+)?(?P<number>\d{1,6})"
    r"|at\s+(?P<seconds>\d{1,6}(?:\.\d+)?)\s*s(?:ec(?:onds?)?)?)"
    r"(?P<near>\s+(?:and|with)\s+(?:its\s+|the\s+)?neighbou?rs)?\s*[:,]",
    re.IGNORECASE,
)


_TIME = r"\d{1,2}:\d{2}(?::\d{2})?(?:\.\d+)?|\d{1,6}(?:\.\d+)?"
_UNIT = r"(?:s|secs?|seconds?|min|mins|minutes?)\b\.?"


def _when(name: str) -> str:
    """Pattern of a time, with its unit as `name`_unit."""
    return rf"(?:the\s+)?(?:(?:seconds?|minutes?|time)\s+)?(?P<{name}>{_TIME})\s*(?P<{name}_unit>{_UNIT})?"


STRETCH = re.compile(
    rf"\b(?:(?:in\s+)?between|from)\s+{_when('a')}\s*(?:and|to|until|till|[-\u2013])\s*{_when('b')}",
    re.IGNORECASE,
)
MOMENT = re.compile(rf"\b(?:around|near)\s+{_when('a')}", re.IGNORECASE)
MOMENT_S = 2.0  # before and after a moment


def stretch_in(question: str) -> tuple[float, float, str] | None:
    """(from, to, the question without it), in seconds, of a question that names a stretch or a moment of a clip.

    "What happens between 1:20 and 1:50?", "From 80 to 110 s: …", "Around 3.5 s: …" (`MOMENT_S` before and after it).
    Numbers without a colon or a unit are no times. None without a stretch, or with nothing asked about it.
    """
    for pattern in (STRETCH, MOMENT):
        found = pattern.search(question)
        if found is None:
            continue
        rest = f"{question[: found.start()].rstrip(' ,')} {question[found.end() :].lstrip(' ,:;')}".strip()
        rest = re.sub(r"\s+(?=[?.!,])", "", rest)
        if not re.search(r"\w", rest):
            return None
        if pattern is MOMENT:
            if not found["a_unit"] and ":" not in found["a"]:
                continue
            at = _seconds(found["a"], found["a_unit"])
            return max(0.0, at - MOMENT_S), at + MOMENT_S, rest
        first, last, unit = found["a"], found["b"], found["b_unit"] or found["a_unit"]
        if unit is None and ":" not in first + last:
            continue
        ends = sorted((_seconds(first, found["a_unit"] or unit), _seconds(last, unit)))
        return (ends[0], ends[1], rest) if ends[0] < ends[1] else None
    return None


def _seconds(time: str, unit: str | None) -> float:
    """Of "1:20", "1:02:03" or a number with its unit."""
    value = 0.0
    for part in time.split(":"):
        value = 60 * value + float(part)
    return value * 60 if ":" not in time and unit and unit.lower().startswith("m") else value


def with_neighbours(question: str) -> bool:
    """Whether a question that begins with a place asks for its neighbours too: "On slice 57 and its neighbours: …"."""
    found = PLACE.match(question)
    return found is not None and found["near"] is not None


def place_in(question: str) -> tuple[Literal["number", "seconds"], float, str] | None:
    """(unit, value, the question after it) of a question that begins with a place: "On slice 57: what is shown?",
    "At 3.5 s: …". Slices and frames count from 1, as on the screen. None without a place, or with nothing behind it."""
    found = PLACE.match(question)
    rest = question[found.end() :].strip() if found is not None else ""
    if found is None or not rest:
        return None
    if found["number"] is not None:
        return "number", float(found["number"]), rest
    return "seconds", float(found["seconds"] or 0), rest
