"""Function words by language. They tell languages apart, and do not tell texts apart.

Only languages with a stemmer, and some of the most spoken without one. A word may belong to several languages.
"""

from __future__ import annotations

from coterie.memory.text.folding import cased

_WORDS = {
    "english": """
        a about above after again against all also am an and any are aren as at be because been before being below between
        both but by can cannot could couldn did didn do does doesn doing don down during each ever few for from further get
        gets getting give go goes going got had hadn has hasn have haven having he her here hers herself him himself his how
        however i if in into is isn it its itself just kind let like ll lot m many me might mightn more most much mustn
        my myself need no nor not now of off on once one only or other our ours ourselves out over own please re really s
        same say says shall shan she should shouldn so some someone something such t tell than that the their theirs them
        themselves then there these they thing things this those through to too type under until up upon us ve very was
        wasn we were weren what whatever when where whether which while who whom whose why will with won would wouldn yes
        yet you your yours yourself yourselves
    """,
    "german": """
        der die das den dem des ein eine einen einem einer eines und oder aber nicht kein keine ist sind war waren wird werden
        wurde hat haben hatte ich du er sie es wir ihr mich dich sich uns mir dir ihm ihn ihnen mein meine sein seine unser zu
        im in an auf aus bei mit nach von vom zum zur für über unter durch gegen ohne um als wie wenn weil dass so auch nur
        noch schon was wer wo wann warum welche welcher dieser diese dieses hier dort sehr man am
    """,
    "french": """
        le la les un une des du de au aux et ou mais ne pas plus est sont était été être avoir ai as a avons avez ont avait je
        tu il elle on nous vous ils elles me te se moi toi lui leur mon ma mes ton ta tes son sa ses notre nos votre vos ce
        cet cette ces qui que quoi dont où quand comment pourquoi dans sur sous avec sans pour par en chez vers très aussi si
        y l d j c qu n s m t quel quelle
    """,
    "spanish": """
        el la los las un una unos unas de del al y o pero no es son era fue ser estar está están ha han he había hay yo tú él
        ella nosotros ellos ellas me te se nos le les lo mi mis tu tus su sus este esta estos estas ese esa eso que qué quien
        quién cual cuál cuando cuándo donde dónde cómo como por para con sin en sobre entre desde hasta muy más también si
        porque ya
    """,
    "italian": """
        il lo la i gli le un uno una di del della dei degli delle dello a al alla ai alle da dal dalla in nel nella con su sul
        sulla per tra fra e ed o ma non è sono era erano ho hai ha abbiamo avete hanno essere avere io tu lui lei noi voi loro
        mi ti si ci vi mio mia suo sua che chi cui quale quando dove come perché questo questa quello quella molto più anche
        se già
    """,
    "portuguese": """
        o a os as um uma uns umas de do da dos das ao à aos no na nos nas em por pelo pela para com sem sobre entre e ou mas
        não é são era foi ser estar está estão tem têm há eu tu ele ela nós eles elas me te se lhe meu minha seu sua que quem
        qual quando onde como porque este esta isso isto aquele muito mais também já você vocês
    """,
    "dutch": """
        de het een en of maar niet geen is zijn was waren wordt worden werd heb hebt heeft hebben had ik jij je hij zij ze wij
        we jullie hen hun mij me jou mijn jouw haar ons onze te in op aan uit bij met naar van voor over onder door tegen
        zonder om als dan dat dit deze die wie wat waar wanneer waarom hoe er ook nog al zo zeer
    """,
    "swedish": """
        en ett och eller men inte är var vara har hade jag du han hon den det vi ni de dem mig dig sig oss min din sin vår att
        i på av för med till från om som när var vad vem vilken varför hur här där mycket också bara så än under över efter
        ska kan
    """,
    "norwegian": """
        en et ei og eller men ikke er var være har hadde jeg du han hun den det vi dere de dem meg deg seg oss min din sin vår
        å i på av for med til fra om som når hva hvem hvilken hvorfor hvordan hvor her der mye også bare så enn under over
        etter skal kan
    """,
    "danish": """
        en et og eller men ikke er var være har havde jeg du han hun den det vi i de dem mig dig sig os min din sin vores at
        på af for med til fra om som når hvad hvem hvilken hvorfor hvordan hvor her der meget også kun så end under over efter
        skal kan
    """,
    "finnish": """
        ja tai mutta ei en et emme ette eivät on ovat oli olivat olla ole minä sinä hän me te he se ne tämä nämä tuo mikä mitä
        kuka ketä missä milloin miksi miten kuinka joka jotka että kun jos niin myös vain kanssa sekä minun sinun hänen
    """,
    "hungarian": """
        a az egy és vagy de nem van vannak volt voltak lesz én te ő mi ti ők ez ezek azok aki ami mely hogy mint ha ki mit hol
        mikor miért hogyan is csak már még nagyon itt ott meg el fel le be
    """,
    "romanian": """
        și sau dar nu este sunt era au fost fi am ai are avem aveți eu tu el ea noi voi ei ele un o unei unui unor al ale ai
        de la în pe cu fără pentru din prin despre între că ce cine care când unde cum meu mea său sa acest această foarte mai
        lui
    """,
    "turkish": """
        ve veya ama değil bir bu şu o ben sen biz siz onlar ile için gibi kadar daha çok en de da ki mi mı mu mü ne kim nerede
        nasıl neden hangi var yok benim senin onun her hiç sonra önce olan olarak
    """,
    "polish": """
        i oraz lub albo ale nie jest są był była było być mam masz ma mamy mają ja ty on ona ono my wy oni one mnie ciebie się
        mój moja twój jego jej ich w we na z ze do od po za przez dla o u przy pod nad że co kto gdzie kiedy jak dlaczego czy
        który która które ten ta to te bardzo też tylko już
    """,
    "czech": """
        a i nebo ale ne je jsou byl byla bylo být mám máš má máme mají já ty on ona ono my vy oni mě tebe se si můj moje tvůj
        jeho její jejich v ve na z ze do od po za pro o u při pod nad že co kdo kde kdy jak proč jestli který která které ten
        ta to velmi také jen už
    """,
    "catalan": """
        el la els les un una uns unes de del dels al als i o però no és són era ser estar està ha han he hi jo tu ell ella
        nosaltres ells em et es ens us li meu meva seu seva que qui què quan on com per amb sense en sobre entre molt més
        també si aquest aquesta
    """,
    "indonesian": """
        dan atau tetapi tidak bukan adalah ini itu saya aku kamu anda dia kami kita mereka yang di ke dari untuk dengan pada
        oleh dalam akan sudah telah sedang ada apa siapa mana kapan bagaimana mengapa juga hanya sangat lebih
    """,
    "lithuanian": """
        ir arba bet ne yra buvo būti aš tu jis ji mes jūs jie jos mano tavo savo kad kas kur kada kaip kodėl su be į iš ant po
        per prie už apie labai taip pat tik šis ši tas ta
    """,
    "estonian": """
        ja või aga ei on oli olid olla mina sina tema meie teie nemad ma sa ta me te nad see need mis kes kus millal miks
        kuidas et kui ka ainult väga minu sinu oma
    """,
    "basque": """
        eta edo baina ez da dira zen ziren izan ni zu hura gu haiek nire zure bere hau hori zer nor non noiz nola zergatik ere
        oso bat
    """,
    "irish": """
        agus nó ach ní níl tá bhí bhfuil is mé tú sé sí sinn muid sibh siad mo do ár an na ar ag i le ó do faoi cad cé cá
        conas cathain
    """,
    "esperanto": """
        kaj aŭ sed ne estas estis mi vi li ŝi ĝi ni ili mia via lia la de al en sur kun sen por ke kio kiu kie kiam kiel kial
        tre ankaŭ nur
    """,
    "serbian": """
        i ili ali ne nije je su bio bila bilo biti ja ti on ona ono mi vi oni moj tvoj njegov njen se si u na iz od do za po sa
        s o kod pod nad da što šta ko gde kada kako zašto koji koja koje ovaj ova ovo taj ta to vrlo takođe samo već
        и или али не није је су био била било бити ја ти он она ми ви они се у на из од до за по са да што шта ко где када
        како зашто који која које овај ова ово тај та то
    """,
    "russian": """
        и или но а не нет это есть был была было были быть я ты он она оно мы вы они меня тебя его её нас вас их мне тебе ему
        ей нам вам им мой моя моё мои твой свой наш ваш в во на с со к ко из от до по за для о об у при под над через что кто
        где когда как почему какой какая который которая которые этот эта эти тот та те очень тоже только уже ещё бы же ли
    """,
    "ukrainian": """
        і й та або але не ні це є був була було були бути я ти він вона воно ми ви вони мене тебе його її нас вас їх мені у в
        на з із до від по за для про при під над через що хто де коли як чому який яка які цей ця ці дуже також тільки вже ще
    """,
    "bulgarian": """
        и или но не е са бе беше бил била съм аз ти той тя то ние вие те ме ми му ѝ ни ви им моя в във на с със към от до по за
        при под над че какво кой къде кога как защо който която които този тази това тези много също само вече ще
    """,
    "greek": """
        ο η το οι τα τον την του της των ένας μια ένα και ή αλλά δεν μη είναι ήταν εγώ εσύ αυτός αυτή αυτό εμείς εσείς αυτοί
        μου σου του μας σας τους σε στο στη στην στον στα από με για προς χωρίς που ποιος τι πού πότε πώς γιατί πολύ επίσης
        θα να
    """,
    "arabic": """
        و أو لكن لا ليس هو هي هم نحن أنا أنت أنتم كان كانت يكون في من إلى على عن مع بعد قبل بين هذا هذه ذلك تلك الذي التي ما
        ماذا هل أين متى كيف لماذا كل جدا أيضا قد لم لن إن أن ثم
    """,
    "persian": """
        و یا اما نه است هست بود بودند من تو او ما شما آنها ایشان این آن که چه کی کجا چرا چگونه در از به با بر برای تا را هم
        خیلی نیز یک می
    """,
    "hindi": """
        और या लेकिन नहीं है हैं था थे थी हूँ हो मैं तुम आप वह वे हम मेरा मेरी मेरे तुम्हारा उसका का की के को में से पर ने यह ये जो कि क्या कौन कहाँ कब कैसे
        क्यों भी ही बहुत एक साथ लिए कर
    """,
    "nepali": """
        र वा तर छैन छ छन् थियो हुन् हो म तिमी तपाईं उनी हामी मेरो तिम्रो उसको को का की लाई मा बाट ले यो त्यो जो कि के कहाँ कहिले कसरी किन पनि मात्र
        धेरै
    """,
    "tamil": """
        மற்றும் அல்லது ஆனால் இல்லை இது அது நான் நீ அவன் அவள் அவர் நாங்கள் அவர்கள் என் உன் ஒரு என்று என்ன யார் எங்கே எப்போது எப்படி
        ஏன் மிகவும் உள்ள
    """,
    "armenian": """
        և կամ բայց ոչ է են էր էին ես դու նա մենք դուք նրանք իմ քո նրա այս այդ այն որ ով ինչ որտեղ երբ ինչպես ինչու մեջ վրա հետ
        համար շատ նաև
    """,
    "hebrew": """
        של את על עם לא כן הוא היא הם הן אני אתה אתם אנחנו זה זאת אלה אל מן או אבל גם רק כי אם מה מי איפה מתי איך למה יש אין היה
        היתה הייתה מאוד כל
    """,
    "korean": """
        그리고 그러나 하지만 또는 나는 너는 그는 그녀는 우리는 이것 저것 그것 무엇 누구 어디 언제 어떻게 왜 매우 있다 없다 이다
        있는 하는 무엇을 누가
    """,
}

STOP_WORDS: dict[str, frozenset[str]] = {language: frozenset(cased(words).split()) for language, words in _WORDS.items()}
"""The function words of each language, as `cased` returns them."""
