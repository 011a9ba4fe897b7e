import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode
from torchvision.models import get_model, get_model_weights

from cvviz.ops.detector_cost import DETECTORS, STAGES, anatomy, stage_macs, stage_of

EVERY = pytest.mark.parametrize("name", DETECTORS)
CELLS_AT_800 = 100**2 + 50**2 + 25**2 + 13**2 + 7**2  # strides 8 to 128; 800 / 64 and 800 / 128 are rounded up
TOWERS = 8 * 9 * 256**2  # two towers of four 3 x 3 layers


class TestByHand:
    def test_box_head_of_two_layers(self):
        expected = 7 * 7 * 256 * 1024 + 1024**2 + 1024 * (91 + 4 * 91)
        assert anatomy("fasterrcnn_resnet50_fpn", classes=91).per_proposal == expected == 14_359_552

    def test_box_head_with_convolutions(self):
        # Four 3 x 3 layers over 7 x 7 cells, then one fully connected layer, then 91 classes and 91 boxes.
        expected = 4 * 49 * 9 * 256**2 + 7 * 7 * 256 * 1024 + 1024 * 5 * 91
        assert anatomy("fasterrcnn_resnet50_fpn_v2", classes=91).per_proposal == expected

    def test_head_of_retinanet(self):
        per_cell = TOWERS + 9 * 256 * 9 * (91 + 4)  # nine anchors
        assert stage_macs("retinanet_resnet50_fpn", side=800)["head"] == CELLS_AT_800 * per_cell

    def test_head_of_fcos(self):
        per_cell = TOWERS + 9 * 256 * (91 + 4 + 1)  # no anchors, but a centre-ness
        assert stage_macs("fcos_resnet50_fpn", side=800)["head"] == CELLS_AT_800 * per_cell

    def test_rpn_has_one_layer_and_a_finer_map(self):
        per_cell = 9 * 256**2 + 256 * 3 * (1 + 4)  # three anchors
        cells = 200**2 + 100**2 + 50**2 + 25**2 + 13**2  # strides 4 to 64
        assert stage_macs("fasterrcnn_resnet50_fpn", side=800)["head"] == cells * per_cell

    def test_first_layer_of_a_resnet(self):
        assert anatomy("fcos_resnet50_fpn", classes=91).cells["backbone", 2] == 7 * 7 * 3 * 64

    @pytest.mark.parametrize("name", ["retinanet_resnet50_fpn", "fcos_resnet50_fpn"])
    def test_fpn_from_stride_8_on(self, name):
        cells = anatomy(name, classes=91).cells
        strides = [stride for stage, stride in cells if stage == "neck"]
        assert sorted(strides) == [8, 16, 32, 64, 128]
        # A 1 x 1 layer from 512 channels and a 3 x 3 layer.
        assert cells["neck", 8] == 512 * 256 + 9 * 256**2


class TestAgainstOthers:
    @EVERY
    @pytest.mark.parametrize("side", [224, 417, 1024])
    def test_flop_counter(self, name, side):
        with torch.device("meta"):
            model = get_model(name, weights=None, weights_backbone=None, num_classes=5).eval()
            picture = torch.zeros(1, 3, side, side)
        dense = model.rpn.head if DETECTORS[name].two_stage else model.head
        with FlopCounterMode(display=False) as counter, torch.no_grad():
            dense(list(model.backbone(picture).values()))
        assert sum(stage_macs(name, side=side, classes=5).values()) == counter.get_total_flops() / 2

    @EVERY
    def test_published_macs(self, name):
        published = get_model_weights(name).DEFAULT.meta["_ops"]
        # Those of the light Faster R-CNNs were counted in a picture without a proposal.
        proposals = 0 if "mobilenet" in name else DETECTORS[name].proposals
        macs = stage_macs(name, side=DETECTORS[name].side, proposals=proposals)
        assert sum(macs.values()) / 1e9 == pytest.approx(published, abs=1e-3)

    @EVERY
    def test_published_parameters(self, name):
        published = get_model_weights(name).DEFAULT.meta["num_params"]
        # Trained detectors of the first generation have frozen normalisation, whose values are not counted: two for
        # each of 26,560 channels of ResNet-50, and of 12,200 of MobileNetV3.
        frozen = {"resnet50_fpn": 53_120, "large_fpn": 24_400, "320_fpn": 24_400}
        uncounted = next((count for end, count in frozen.items() if name.endswith(end)), 0)
        assert sum(anatomy(name, classes=91).parameters.values()) == published + uncounted


class TestLaws:
    @EVERY
    def test_straight_line_in_proposals(self, name):
        costs = [sum(stage_macs(name, side=320, proposals=count).values()) for count in (0, 10, 20)]
        assert costs[2] - costs[1] == costs[1] - costs[0] == 10 * anatomy(name, classes=91).per_proposal

    def test_twice_the_side_is_four_times_the_maps(self):
        half, full = (stage_macs("fasterrcnn_resnet50_fpn", side=side, proposals=7) for side in (512, 1024))
        assert {stage: full[stage] / half[stage] for stage in STAGES} == {"backbone": 4, "neck": 4, "head": 4, "box": 1}

    @EVERY
    def test_classes_change_only_the_heads(self, name):
        few, many = (stage_macs(name, side=320, proposals=1, classes=classes) for classes in (2, 91))
        changed = {stage for stage in STAGES if few[stage] != many[stage]}
        assert changed == ({"box"} if DETECTORS[name].two_stage else {"head"})

    def test_kept(self):
        assert anatomy("fcos_resnet50_fpn", classes=91) is anatomy("fcos_resnet50_fpn", classes=91)

    def test_global_generator_is_left_alone(self):
        anatomy.cache_clear()
        state = torch.random.get_rng_state()
        anatomy("ssdlite320_mobilenet_v3_large", classes=91)
        assert torch.equal(state, torch.random.get_rng_state())


def test_smallest_picture():
    macs = stage_macs("retinanet_resnet50_fpn", side=1)
    assert all(macs[stage] > 0 for stage in ("backbone", "neck", "head"))
    assert macs["box"] == 0


@pytest.mark.parametrize(
    ("path", "stage"),
    [
        ("backbone.body.layer1", "backbone"),
        ("backbone.features.0.0", "backbone"),
        ("backbone.extra.1", "neck"),
        ("head.classification_head", "head"),
        ("roi_heads.box_predictor", "box"),
    ],
)
def test_stage_of(path, stage):
    assert stage_of(path) == stage


def test_exceptions():
    with pytest.raises(ValueError, match=r"^name must be one of ssdlite.*, got yolo\.$"):
        anatomy("yolo", classes=91)
    with pytest.raises(ValueError, match=r"^classes must be at least 2, got 1\.$"):
        anatomy("fcos_resnet50_fpn", classes=1)
    with pytest.raises(ValueError, match=r"^side must lie in \[1, 1024\], got 0\.$"):
        stage_macs("fcos_resnet50_fpn", side=0)
    with pytest.raises(ValueError, match=r"^side must lie in \[1, 1024\], got 1025\.$"):
        stage_macs("fcos_resnet50_fpn", side=1025)
    with pytest.raises(ValueError, match=r"^proposals must be at least 0, got -1\.$"):
        stage_macs("fcos_resnet50_fpn", side=320, proposals=-1)
