"""Makes the set by which search is judged: exams, and 500 questions with the exams that answer them.

    python3 benches/recall.py DIRECTORY

`tests/fixtures/recall/` has what seed 2026 makes; `indexer/tests/recall.rs` asks it. The set was made before search was tuned and
is never changed to pass: another one gets another directory. What is right is computed here from the raw texts and from the
readings beside the characters below, by nothing that the archive does itself. Only the standard library is used.

`exams.tsv.gz`: an exam a line, the oldest first, its columns named in the first line. `questions.tsv`: kind, what is typed, and
the numbers of the lines (from 0) that answer it.
"""

import gzip
import io
import itertools
import random
import sys
from pathlib import Path

SEED = 2026
PEOPLE = 1_700
EXAMS = 2_500

# Characters and their readings; several where people really have either.
SURNAMES = (
    "王wang 李li 张zhang 刘liu 陈chen 杨yang 黄huang 赵zhao 吴wu 周zhou 徐xu 孙sun 马ma 朱zhu 胡hu 郭guo 何he 林lin 高gao 罗luo "
    "郑zheng 梁liang 谢xie 宋song 唐tang 许xu 韩han 冯feng 邓deng 曹cao 彭peng 肖xiao 田tian 董dong 袁yuan 潘pan 于yu 蒋jiang 蔡cai 余yu "
    "杜du 叶ye 程cheng 苏su 魏wei 吕lv/lyu 丁ding 姚yao 卢lu 姜jiang 崔cui 钟zhong 谭tan 陆lu 汪wang 范fan 金jin 石shi 廖liao 韦wei"
).split()
POLYPHONIC = (
    "单shan 解xie 仇qiu 查zha 曾zeng 任ren 朴piao 区ou 盖ge 乐yue/le 翟zhai 华hua 冼xian 尉迟yuchi 万俟moqi 长孙zhangsun 欧阳ouyang "
    "司马sima 诸葛zhuge 上官shangguan 覃qin/tan 员yun 种chong 繁po 召shao 缪miao 宓mi 燕yan 葛ge 哈ha 柏bai 晁chao 洗xian 黑he 应ying"
).split()
GIVEN = (
    "伟wei 芳fang 娜na 秀xiu 英ying 敏min 静jing 丽li 强qiang 磊lei 军jun 洋yang 勇yong 艳yan 杰jie 娟juan 涛tao 明ming 超chao 兰lan "
    "霞xia 平ping 刚gang 桂gui 红hong 建jian 国guo 华hua 志zhi 文wen 玉yu 梅mei 玲ling 辉hui 春chun 燕yan 海hai 鹏peng 飞fei 云yun "
    "龙long 峰feng 宇yu 浩hao 然ran 子zi 轩xuan 梓zi 涵han 欣xin 怡yi 思si 雨yu 佳jia 琪qi 俊jun 晓xiao 小xiao 东dong 雪xue "
    "雅ya 婷ting 嘉jia 豪hao 桐tong 诗shi 一yi 诺nuo 航hang 梦meng 博bo 秋qiu 凤feng 荣rong 贵gui 福fu 寿shou 生sheng 根gen 宝bao "
    "珍zhen 淑shu 惠hui 萍ping 琴qin 蓉rong 莲lian 香xiang 翠cui 巧qiao 彩cai 银yin 锦jin 瑞rui 祥xiang 康kang 健jian 顺shun 旺wang 富fu "
    "庆qing 学xue 礼li 义yi 仁ren 信xin 德de 忠zhong 孝xiao 廉lian 洁jie 清qing 正zheng 直zhi 光guang 亮liang 晨chen 曦xi 阳yang 月yue 星xing "
    "瑶yao 琳lin 珊shan 璐lu 瑜yu 莹ying 颖ying 倩qian 茹ru 蕾lei 薇wei 菲fei 萌meng 蕊rui 芸yun 芝zhi 苗miao 松song 柏bai 桦hua 楠nan"
).split()
# Names of other peoples: their parts, character by character.
PARTS = (
    "买mai买mai提ti 艾ai合he买mai提ti 阿a依yi古gu丽li 吐tu尔er逊xun 古gu丽li娜na尔er 努nu尔er兰lan 巴ba特te尔er 哈ha斯si 萨sa仁ren高gao娃wa "
    "扎zha西xi 卓zhuo玛ma 次ci仁ren 达da娃wa 旺wang堆dui 玉yu素su甫pu 热re依yi汗han 塔ta西xi 木mu合he塔ta尔er 帕pa提ti古gu丽li 苏su来lai曼man "
    "其qi木mu格ge 乌wu兰lan 格ge日ri勒le 尼ni玛ma 丹dan增zeng 央yang金jin 阿a布bu都du拉la 迪di丽li热re巴ba"
).split()

SIDES = ["左", "右", "双"]
LOBES = ["肺上叶", "肺下叶", "肺中叶", "肺上叶尖后段", "肺下叶背段", "肺上叶舌段", "肺下叶后基底段"]
NODULES = ["磨玻璃结节", "实性结节", "混合密度结节", "钙化结节", "微小结节", "部分实性结节", "胸膜下结节"]
EDGES = ["边界清楚", "边缘模糊", "边缘可见毛刺", "呈分叶状", "边缘光滑", "可见胸膜牵拉", "内见空泡征", "内见支气管充气征"]
SHADOWS = ["斑片状高密度影", "条索状致密影", "片状实变影", "网格状影", "磨玻璃样密度增高影", "树芽征", "蜂窝状改变"]
LIVER = ["囊性低密度影", "稍低密度影", "强回声光团", "点状钙化灶", "血管瘤样强化灶", "楔形低灌注区"]
DISCS = ["腰4/5", "腰5/骶1", "腰3/4", "颈5/6", "颈4/5", "颈6/7", "胸11/12"]
BONES = ["股骨颈", "桡骨远端", "胫骨平台", "锁骨中段", "第五跖骨基底部", "腰1椎体", "髌骨", "肱骨外科颈", "尺骨鹰嘴"]
BRAIN = ["基底节区", "放射冠", "半卵圆中心", "额叶皮层下", "丘脑", "桥脑", "小脑半球", "颞叶内侧"]
GLANDS = ["甲状腺左叶", "甲状腺右叶", "甲状腺峡部", "左乳外上象限", "右乳内下象限", "左乳乳晕旁"]
ECHO = ["低回声结节", "等回声结节", "无回声区", "混合回声团块", "簇状强回声"]

# {s} side, {n} a size in millimetres; the others are drawn from the lists above.
FINDINGS = [
    "{s}肺纹理增多增粗，走行自然。", "{s}{lobe}见一{nodule}，{edge}，直径约{n}毫米。", "{s}{lobe}见{shadow}，{edge}。",
    "纵隔居中，未见肿大淋巴结。", "纵隔及肺门见多发肿大淋巴结，短径约{n}毫米。", "心影大小形态未见异常，主动脉壁钙化。",
    "心影增大，以左心室增大为主。", "{s}侧胸腔见弧形液性密度影。", "{s}侧胸膜局限性增厚粘连。", "气管及主支气管通畅。",
    "肝脏密度弥漫性减低，低于脾脏。", "肝右叶见{liver}，直径约{n}毫米。", "肝左叶见{liver}，{edge}。", "肝表面欠光整，肝裂增宽，脾脏增大。",
    "胆囊壁毛糙，其内见结节状致密影。", "胆总管扩张，下段见结石影。", "胰腺形态饱满，周围脂肪间隙模糊。", "胰管轻度扩张。",
    "{s}肾见囊性低密度影，增强后未见强化。", "{s}侧输尿管上段结石伴肾盂积水。", "膀胱充盈良好，壁未见增厚。", "前列腺增大，向膀胱内突入。",
    "{disc}椎间盘向后突出，硬膜囊受压。", "{disc}椎间盘膨出，椎间孔变窄。", "椎体边缘骨质增生，呈唇样改变。", "{bone}骨皮质不连续，断端错位。",
    "{bone}见线样透亮影，对位对线良好。", "{s}膝关节间隙变窄，髁间隆突变尖。", "{s}侧半月板后角见线状高信号达关节面。", "前交叉韧带连续性中断。",
    "{s}侧{brain}见点状低密度影。", "{s}侧{brain}见片状长T1长T2信号，弥散受限。", "脑室系统扩大，脑沟增宽。", "中线结构居中。",
    "{s}侧上颌窦黏膜增厚，见液平。", "垂体高度约{n}毫米，信号均匀。", "{gland}见{echo}，{edge}，大小约{n}毫米。", "{gland}腺体回声不均，血流信号增多。",
    "{s}侧颈动脉内中膜增厚，见斑块形成。", "左室射血分数正常，二尖瓣轻度反流。", "子宫前壁见低回声团，向外突起。", "{s}侧附件区见囊性包块。",
    "阑尾增粗，周围渗出，腔内见粪石。", "小肠扩张积气，见多个气液平面。", "胃窦壁不规则增厚，浆膜面毛糙。", "冠状动脉前降支近段见混合斑块，管腔中度狭窄。",
]
IMPRESSIONS = [
    "{s}{lobe}{nodule}，建议六个月后复查。", "{s}{lobe}炎症，治疗后复查。", "{s}肺间质性改变。", "{s}侧胸腔积液。", "慢性支气管炎，肺气肿。",
    "继发性肺结核，请结合痰检。", "考虑周围型肺癌，建议增强扫描。", "支气管扩张伴感染。", "脂肪肝。", "肝囊肿。", "肝硬化，脾大，少量腹水。",
    "肝血管瘤可能，建议增强磁共振。", "胆囊结石伴慢性胆囊炎。", "急性胰腺炎，胰周渗出。", "{s}肾囊肿。", "{s}侧输尿管结石伴积水。", "前列腺增生。",
    "{disc}椎间盘突出。", "腰椎退行性变。", "{bone}骨折。", "{bone}陈旧性骨折。", "{s}膝关节退行性骨关节病。", "{s}侧半月板撕裂。", "前交叉韧带损伤。",
    "{s}侧{brain}腔隙性脑梗死。", "{s}侧{brain}急性脑梗死。", "脑萎缩，脑白质疏松。", "{s}侧上颌窦炎。", "垂体微腺瘤待排。", "{gland}结节，TI-RADS 3类。",
    "{gland}结节，BI-RADS 4A类。", "颈动脉粥样硬化斑块形成。", "子宫肌瘤。", "{s}侧卵巢囊肿。", "急性阑尾炎。", "肠梗阻。", "胃窦占位，建议胃镜检查。",
    "冠状动脉粥样硬化性心脏病。", "主动脉硬化。", "未见明显异常。", "心肺膈未见异常。", "请结合临床。",
]
ADVICE = ["建议定期随访。", "必要时进一步检查。", "建议专科就诊。", "请结合实验室检查。", "建议三个月后复查。", ""]
COMPLAINTS = ["咳嗽咳痰一周", "体检发现结节", "外伤后疼痛三小时", "反复头晕头痛", "上腹部疼痛", "腰痛伴下肢麻木", "胸闷气短", "血尿待查", "颈部包块", "术后复查"]
# Class, device, parts and items.
ROOMS = [
    ("CT", "飞利浦256排CT", "胸部", "胸部CT平扫"), ("CT", "西门子双源CT", "上腹部", "上腹部CT增强"), ("CT", "GE宝石CT", "头颅", "头颅CT平扫"),
    ("CT", "西门子双源CT", "冠状动脉", "冠状动脉CTA"), ("MR", "联影3.0T磁共振", "头颅", "头颅MR平扫"), ("MR", "GE1.5T磁共振", "腰椎", "腰椎MR平扫"),
    ("MR", "联影3.0T磁共振", "膝关节", "膝关节MR平扫"), ("DR", "岛津DR一室", "胸部", "胸部正侧位片"), ("DR", "岛津DR二室", "骨盆", "骨盆正位片"),
    ("US", "迈瑞彩超", "甲状腺", "甲状腺彩超"), ("US", "GE彩超", "乳腺", "乳腺彩超"), ("US", "迈瑞彩超", "腹部", "肝胆胰脾彩超"),
]
CODES = [
    ("J18.9", "肺炎"), ("J18.0", "支气管肺炎"), ("J44.1", "慢性阻塞性肺病"), ("C34.1", "上叶肺恶性肿瘤"), ("C34.9", "肺恶性肿瘤"), ("R91", "肺结节"),
    ("K76.0", "脂肪肝"), ("K80.1", "胆囊结石"), ("K85.9", "急性胰腺炎"), ("N20.1", "输尿管结石"), ("N28.1", "肾囊肿"), ("N40", "前列腺增生"),
    ("M51.2", "椎间盘突出"), ("M17.9", "膝关节病"), ("S72.0", "股骨颈骨折"), ("S52.5", "桡骨远端骨折"), ("I63.9", "脑梗死"), ("I67.2", "脑动脉硬化"),
    ("E04.1", "甲状腺结节"), ("N63", "乳房肿块"), ("D25.9", "子宫肌瘤"), ("K35.9", "急性阑尾炎"), ("K56.6", "肠梗阻"), ("I25.1", "冠心病"),
]
HOSPITALS = [("350006", "7173"), ("350007", "7174"), ("350008", "7175")]

COLUMNS = (
    "hospital prefix exam form sick patient name identity social insurance card inpatient outpatient report order accession study "
    "class device part item clinical code diagnosis description impression advice reporter confirmer day"
).split()
PROSE = "class device part item clinical diagnosis description impression advice reporter confirmer".split()
NUMBERS = "exam form sick patient identity social insurance card inpatient outpatient report order accession study".split()


def divided(entry):
    """`欧阳ouyang` → characters and readings."""
    characters = "".join(c for c in entry if not c.isascii())
    return characters, entry[len(characters):].split("/")


def of_part(entry):
    """`买mai买mai提ti` → its characters with one reading each."""
    letters = "".join(c if c.isascii() else f" {c}" for c in entry).split()
    return "".join(it[0] for it in letters), [it[1:] for it in letters]


class Person:
    """A name, the ways in which it is read, syllable by syllable, and the numbers of its patient."""

    def __init__(self, dice, number):
        self.parts = []
        self.is_polyphonic = False
        if number % 17 == 3:
            parts = dice.sample(PARTS, 2)
            self.parts = [of_part(part) for part in parts]
            dot = dice.choice("··•")
            self.name = dot.join(characters for characters, _ in self.parts)
            self.ways = [[[it] for _, readings in self.parts for it in readings]]
        else:
            self.is_polyphonic = number % 8 == 5
            surname, readings = divided(dice.choice(POLYPHONIC if self.is_polyphonic else weighted(dice)))
            given = [divided(it) for it in dice.choices(GIVEN, k=dice.choice([1, 2, 2, 2]))]
            self.name = surname + "".join(characters for characters, _ in given)
            # A surname of two characters is one run of letters; its initials are of both.
            self.ways = [[[reading, len(surname)]] + [it for _, it in given] for reading in readings]
        self.numbers = {
            "sick": f"S{number:07}", "identity": identity(dice), "social": f"35{dice.randrange(10**8):08}",
            "insurance": f"YB{dice.randrange(10**9):09}", "card": f"K{dice.randrange(10**10):010}",
        }

    def readings(self):
        """Whole readings: `zhangxiaodong`."""
        return {"".join(syllable[0] for syllable in way) for way in self.ways}

    def runs(self):
        """Readings of every run of syllables."""
        syllables = [[it[0] for it in way] for way in self.ways]
        return {"".join(way[a:b]) for way in syllables for a in range(len(way)) for b in range(a + 1, len(way) + 1)}

    def given_reading(self):
        return "".join(syllable[0] for syllable in self.ways[0][1:])


def weighted(dice):
    """The first of the list are the most frequent, as in life."""
    return SURNAMES[: 1 + int(len(SURNAMES) * dice.random() ** 1.6)]


COMPOUND = {"yuchi": "yc", "moqi": "mq", "zhangsun": "zs", "ouyang": "oy", "sima": "sm", "zhuge": "zg", "shangguan": "sg"}


def initials(person):
    every = set()
    for way in person.ways:
        every.add("".join(COMPOUND.get(syllable[0], syllable[0][0]) for syllable in way))
    return every


def identity(dice):
    body = f"3501{dice.randrange(2, 30):02}{dice.randrange(1930, 2020)}{dice.randrange(1, 13):02}{dice.randrange(1, 29):02}{dice.randrange(1000):03}"
    weights = [7, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2]
    return body + "10X98765432"[sum(int(d) * w for d, w in zip(body, weights)) % 11]


def sentence(dice, templates):
    return dice.choice(templates).format(
        s=dice.choice(SIDES), n=dice.randrange(3, 40), lobe=dice.choice(LOBES), nodule=dice.choice(NODULES), edge=dice.choice(EDGES),
        shadow=dice.choice(SHADOWS), liver=dice.choice(LIVER), disc=dice.choice(DISCS), bone=dice.choice(BONES), brain=dice.choice(BRAIN),
        gland=dice.choice(GLANDS), echo=dice.choice(ECHO),
    )


def exam(dice, number, person, doctors):
    hospital, prefix = HOSPITALS[min(dice.randrange(5), 2)]
    kind, device, part, item = dice.choice(ROOMS)
    code, diagnosis = dice.choice(CODES)
    # Two hospitals count their inpatients alike.
    own = {
        "hospital": hospital, "prefix": prefix, "exam": f"E{hospital[-1]}26{number:06}", "form": f"SQ{dice.randrange(10**8):08}",
        "patient": f"{kind}{dice.randrange(10**7):07}", "name": person.name, "inpatient": f"ZY{dice.randrange(700):05}",
        "outpatient": f"MZ{dice.randrange(1500):06}", "report": f"R{hospital[-1]}-{number:07}", "order": f"YZ{dice.randrange(10**9):09}",
        "accession": f"A{dice.randrange(10**9):09}", "study": f"1.2.840.113619.2.55.3.{hospital}.{dice.randrange(10**9)}.{number}",
        "class": kind, "device": device, "part": part, "item": item, "clinical": dice.choice(COMPLAINTS), "code": code, "diagnosis": diagnosis,
        "description": "".join(sentence(dice, FINDINGS) for _ in range(dice.randrange(3, 6))),
        "impression": "".join(sentence(dice, IMPRESSIONS) for _ in range(dice.randrange(1, 3))), "advice": dice.choice(ADVICE),
        "reporter": dice.choice(doctors), "confirmer": dice.choice(doctors), "day": f"2026-{1 + number * 12 // EXAMS:02}-{dice.randrange(1, 29):02}",
    }
    return {**own, **person.numbers}


class Questions:
    def __init__(self, dice, people, exams, whose):
        self.dice, self.people, self.exams, self.whose = dice, people, exams, whose
        self.texts = [[exam[column].lower() for column in PROSE] for exam in exams]
        self.all = []
        self.typed = set()

    def where(self, holds):
        return [at for at in range(len(self.exams)) if holds(at)]

    def of(self, holds):
        """Exams of the people for whom it holds."""
        return self.where(lambda at: holds(self.people[self.whose[at]]))

    def has(self, at, phrase):
        return any(phrase.lower() in text for text in self.texts[at])

    def put(self, kind, count, make):
        """`count` questions of what `make` says: what is typed and who answers; the same is asked once, and none that nobody answers."""
        left = count
        while left:
            typed, right = make()
            if typed and right and typed not in self.typed:
                self.typed.add(typed)
                self.all.append((kind, typed, right))
                left -= 1

    def person(self, holds=lambda person: True):
        examined = [self.people[it] for it in set(self.whose)]
        return self.dice.choice(sorted((it for it in examined if holds(it)), key=lambda it: it.numbers["sick"]))


def ordinary(person):
    return not person.parts and not person.is_polyphonic


def names(ask):
    dice = ask.dice

    def whole():
        name = ask.person(lambda it: not it.parts).name
        return name, ask.of(lambda it: it.name == name)

    def given():
        name = ask.person(lambda it: ordinary(it) and len(it.name) == 3).name[1:]
        return name, ask.of(lambda it: name in it.name)

    def pinyin(holds, spaced):
        def make():
            person = ask.person(holds)
            way = dice.choice(person.ways)
            typed = "".join(it[0] for it in way)
            right = ask.of(lambda it: typed in it.readings())
            if spaced:
                typed = dice.choice([
                    f"{way[0][0]} {''.join(it[0] for it in way[1:])}",
                    f"{way[0][0].title()} {''.join(it[0] for it in way[1:]).title()}",
                    typed.upper(),
                ])
            return typed, right
        return make

    def part_of_pinyin():
        person = ask.person(lambda it: ordinary(it) and len(it.name) == 3)
        typed = person.given_reading()
        return typed, ask.of(lambda it: typed in it.runs())

    def first_letters(holds):
        def make():
            typed = dice.choice(sorted(initials(ask.person(holds))))
            right = ask.of(lambda it: typed in initials(it))
            return (typed if dice.random() < 0.7 else typed.upper()), right
        return make

    ask.put("name", 40, whole)
    ask.put("given name", 20, given)
    ask.put("pinyin", 35, pinyin(ordinary, spaced=False))
    ask.put("pinyin, divided or large", 20, pinyin(ordinary, spaced=True))
    ask.put("given name in pinyin", 15, part_of_pinyin)
    ask.put("initials", 25, first_letters(lambda it: ordinary(it) and len(it.name) == 3))
    ask.put("polyphonic, pinyin", 25, pinyin(lambda it: it.is_polyphonic, spaced=False))
    ask.put("polyphonic, initials", 10, first_letters(lambda it: it.is_polyphonic and len(it.name) > 2))
    ethnic(ask)


def ethnic(ask):
    dice = ask.dice

    def part():
        person = ask.person(lambda it: it.parts)
        characters, readings = dice.choice(person.parts)
        typed = dice.choice([characters, characters, "".join(readings)])
        return typed, ask.of(lambda it: any(typed in (text, "".join(read)) for text, read in it.parts))

    def whole():
        person = ask.person(lambda it: it.parts)
        texts = [text for text, _ in person.parts]
        typed = dice.choice(["".join(texts), "·".join(texts), "•".join(texts), " ".join(texts)])
        return typed, ask.of(lambda it: [text for text, _ in it.parts] == texts)

    ask.put("part of an ethnic name", 15, part)
    ask.put("ethnic name", 10, whole)


def numbers(ask):
    dice = ask.dice
    kinds = itertools.cycle(NUMBERS)

    def number():
        kind = next(kinds)
        typed = dice.choice(ask.exams)[kind]
        right = ask.where(lambda at: any(ask.exams[at][it] == typed for it in NUMBERS))
        wide = "".join(chr(ord(c) + 0xFEE0) if c.isdigit() else c for c in typed)
        return dice.choice([typed, typed, typed.lower(), f" {typed} ", wide]), right

    def prefixed():
        exam = dice.choice(ask.exams)
        number = exam[dice.choice(["exam", "form", "patient", "inpatient", "outpatient"])]
        right = ask.where(lambda at: ask.exams[at]["prefix"] == exam["prefix"] and number in (ask.exams[at][it] for it in NUMBERS))
        return f"{exam['prefix']}_{number}", right

    def code():
        code, _ = dice.choice(CODES)
        typed = dice.choice([code, code.lower(), code.split(".")[0]])
        return typed, ask.where(lambda at: typed.upper() in (ask.exams[at]["code"], ask.exams[at]["code"].split(".")[0]))

    ask.put("number", 60, number)
    ask.put("number with a hospital's prefix", 15, prefixed)
    ask.put("ICD code", 20, code)


def clauses(exam):
    text = exam["description"] + exam["impression"]
    for sign in "，。、":
        text = text.replace(sign, "\n")
    return [clause for clause in text.split("\n") if len(clause) >= 2]


def phrases(ask):
    dice = ask.dice
    terms = NODULES + EDGES + SHADOWS + LIVER + BONES + BRAIN + ECHO + [clause for it in IMPRESSIONS for clause in clauses({"description": it, "impression": ""})]
    terms = sorted({term for term in terms if "{" not in term and 2 <= len(term) <= 8})

    def answered(phrase):
        return ask.where(lambda at: ask.has(at, phrase))

    def term():
        phrase = dice.choice(terms)
        return phrase, answered(phrase)

    def end():
        """The beginning or the end of a clause."""
        clause = dice.choice(clauses(dice.choice(ask.exams)))
        length = dice.randrange(3, 9)
        phrase = clause[:length] if dice.random() < 0.5 else clause[-length:]
        return phrase.strip(), answered(phrase.strip())

    def piece():
        """Anything within a clause, wherever it is cut."""
        clause = dice.choice(clauses(dice.choice(ask.exams)))
        length = dice.randrange(2, 9)
        start = dice.randrange(max(1, len(clause) - length + 1))
        phrase = clause[start : start + length]
        is_text = all(c.isalnum() for c in phrase) and len(phrase) > 1
        return (phrase, answered(phrase)) if is_text else (None, [])

    def both():
        exam = dice.choice(ask.exams)
        one, other = dice.choice(terms), dice.choice(clauses(exam))[:6]
        return f"{one} {other}", ask.where(lambda at: ask.has(at, one) and ask.has(at, other))

    def with_a_name():
        at = dice.randrange(len(ask.exams))
        exam, person = ask.exams[at], ask.people[ask.whose[at]]
        word = exam[dice.choice(["class", "part", "diagnosis", "clinical"])]
        name = person.name if dice.random() < 0.6 else dice.choice(sorted(person.readings()))
        right = lambda at: name in {ask.exams[at]["name"]} | ask.people[ask.whose[at]].readings() and ask.has(at, word)
        return f"{name} {word}", ask.where(right)

    ask.put("term of reports", 45, term)
    ask.put("beginning or end of a clause", 25, end)
    ask.put("piece of a clause", 30, piece)
    ask.put("two phrases", 10, both)
    ask.put("name and word", 15, with_a_name)
    return terms


KEYS = {"a": "sq", "b": "vn", "c": "xv", "d": "sf", "e": "wr", "f": "dg", "g": "fh", "h": "gj", "i": "uo", "j": "hk", "k": "jl", "l": "k", "m": "n", "n": "bm",
        "o": "ip", "p": "o", "q": "wa", "r": "et", "s": "ad", "t": "ry", "u": "yi", "v": "cb", "w": "qe", "x": "zc", "y": "tu", "z": "xa"}


def slipped(dice, text):
    """One letter left out, doubled, beside its key, or changed with its neighbour."""
    at = dice.randrange(1, len(text) - 1)
    return dice.choice([
        text[:at] + text[at + 1 :], text[:at] + text[at] + text[at:], text[:at] + dice.choice(KEYS[text[at]]) + text[at + 1 :],
        text[:at] + text[at + 1] + text[at] + text[at + 2 :],
    ])


def is_one_slip(one, other):
    """Whether one letter more, less, other or changed with its neighbour makes one of the other."""
    if one == other or abs(len(one) - len(other)) > 1:
        return one == other
    head = next((at for at, (a, b) in enumerate(zip(one, other)) if a != b), min(len(one), len(other)))
    a, b = one[head:], other[head:]
    return a[1:] == b or a == b[1:] or a[1:] == b[1:] or (a[:2] == b[:2][::-1] and a[2:] == b[2:])


def slips(ask, terms):
    dice = ask.dice
    everything = {reading for person in ask.people for reading in person.readings()}
    texts = ["\n".join(it) for it in ask.texts]

    def pinyin():
        reading = dice.choice(sorted(ask.person(lambda it: not it.parts).readings()))
        if len(reading) < 7:
            return None, []
        typed = slipped(dice, reading)
        # What is somebody's name, or the beginning or a part of one, is no slip.
        if any(typed in it for it in everything):
            return None, []
        return typed, ask.of(lambda it: any(is_one_slip(typed, reading) for reading in it.readings()))

    def read_alike():
        person = ask.person(lambda it: ordinary(it) and len(it.name) == 3)
        at = dice.choice([1, 2])
        alike = [divided(it)[0] for it in GIVEN if divided(it)[1] == person.ways[0][at] and divided(it)[0] != person.name[at]]
        if not alike:
            return None, []
        typed = person.name[:at] + dice.choice(alike) + person.name[at + 1 :]
        if any(typed in it.name for it in ask.people):
            return None, []
        reading = "".join(it[0] for it in person.ways[0])
        return typed, ask.of(lambda it: reading in it.readings())

    def prose():
        phrase = dice.choice([term for term in terms if len(term) >= 4 and all(not c.isascii() for c in term)])
        at = dice.randrange(1, len(phrase) - 1)
        typed = dice.choice([phrase[:at] + phrase[at + 1 :], phrase[:at] + phrase[at + 1] + phrase[at] + phrase[at + 2 :]])
        if any(typed in text for text in texts):
            return None, []
        return typed, ask.where(lambda at: ask.has(at, phrase))

    ask.put("pinyin with a slip", 30, pinyin)
    ask.put("name that is read alike", 15, read_alike)
    ask.put("prose with a character left out or changed with its neighbour", 20, prose)


def main():
    directory = Path(sys.argv[1])
    dice = random.Random(SEED)
    people = [Person(dice, number) for number in range(PEOPLE)]
    doctors = [Person(dice, 0).name for _ in range(60)]
    # Half the exams are of a third of the people.
    whose = [int(PEOPLE * dice.random() ** 1.7) for _ in range(EXAMS)]
    exams = [exam(dice, number, people[person], doctors) for number, person in enumerate(whose)]
    ask = Questions(dice, people, exams, whose)
    names(ask)
    numbers(ask)
    slips(ask, phrases(ask))
    lines = ["\t".join(COLUMNS)] + ["\t".join(exam[column] for column in COLUMNS) for exam in exams]
    packed = io.BytesIO()
    with gzip.GzipFile(fileobj=packed, mode="wb", mtime=0) as file:
        file.write(("\n".join(lines) + "\n").encode())
    (directory / "exams.tsv.gz").write_bytes(packed.getvalue())
    rows = [f"{kind}\t{typed}\t{' '.join(map(str, right))}" for kind, typed, right in ask.all]
    (directory / "questions.tsv").write_text("\n".join(rows) + "\n", encoding="utf-8")
    print(f"{len(exams)} exams, {len(ask.all)} questions")


if __name__ == "__main__":
    main()
