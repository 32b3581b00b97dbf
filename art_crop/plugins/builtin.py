"""What ships with art_crop, registered through the hooks that every plugin uses. Nothing named here is imported."""

from __future__ import annotations

from collections.abc import Iterable

from art_crop.plugins.hookspecs import hookimpl
from art_crop.plugins.specs import AttackSpec, DatasetSpec, ExecutorSpec, MetricSpec, ModelSpec, TaskSpec

_ESTIMATORS = "art_crop.estimators.builtin"
_METRICS = "art_crop.metrics"
_SOURCES = "art_crop.datasets.sources"
_WEIGHTS = "art_crop.models.weights"


@hookimpl
def art_crop_models() -> Iterable[ModelSpec]:
    """Models of this package."""
    return (
        ModelSpec(
            name="gaze-lite",
            target=f"{_ESTIMATORS}:gaze_lite",
            summary="embedded surrogate of the FastGaze cropper",
            task="saliency",
            licence="MIT",
            weights="embedded",
        ),
        ModelSpec(
            name="gaze-lite-human",
            target=f"{_ESTIMATORS}:gaze_lite_human",
            summary="embedded predictor of where people look",
            task="saliency",
            licence="MIT",
            weights="embedded",
        ),
        ModelSpec(
            name="fcn-vgg16-sensitivity",
            target=f"{_ESTIMATORS}:fcn_vgg16_sensitivity",
            summary="where people see changes, VGG-16 (paper 004); weights=path of what train-sensitivity made",
            task="saliency",
            requirements=("torchvision>=0.19",),
        ),
        ModelSpec(
            name="quality-lite",
            target=f"{_ESTIMATORS}:quality_lite",
            summary="embedded image-quality model: 0 to 100 for blur, JPEG, noise and other distortions",
            task="quality",
            licence="MIT",
            weights="embedded",
        ),
        ModelSpec(
            name="fastgaze",
            target=f"{_ESTIMATORS}:fastgaze",
            summary="the deployed social-media cropper, exactly; weights are fetched once or given as weights=path",
            task="saliency",
            licence="Apache-2.0",
            weights=f"{_WEIGHTS}:FASTGAZE",
        ),
    )


@hookimpl
def art_crop_attacks() -> Iterable[AttackSpec]:
    """Attacks of this package."""
    return (
        AttackSpec(
            name="saliency-peak-fgm",
            target="art_crop.attacks.saliency_peak:SaliencyPeakFGM",
            summary="gradient attack on any white box: moves the salient point or crop, a score, a label",
            licence="MIT",
        ),
        AttackSpec(
            name="contrast-shift",
            target="art_crop.attacks.contrast_shift:ContrastShift",
            summary="moves the peak, or lowers a score, by contrast alone: no network, no gradient",
            licence="MIT",
        ),
        AttackSpec(
            name="gaussian-noise",
            target="art_crop.attacks.gaussian_noise:GaussianNoise",
            summary="baseline: Gaussian noise of a given norm, optionally inside a mask",
            licence="MIT",
        ),
        AttackSpec(
            name="color-variance",
            target="art_crop.attacks.color_variance:ColorVarianceAttack",
            summary="changes each pixel less than a threshold that grows with the colour variance about it",
            licence="MIT",
        ),
        AttackSpec(
            name="color-variance-noise",
            target="art_crop.attacks.color_noise:ColorVarianceNoise",
            summary="baseline: uniform noise within the same threshold as color-variance",
            licence="MIT",
        ),
        AttackSpec(
            name="minimum-color-difference",
            target="art_crop.attacks.color_difference:MinimumColorDifference",
            summary="finds the change that looks smallest, as CIEDE2000 measures it, in whole grey levels",
            licence="MIT",
        ),
        AttackSpec(
            name="dct-quantization",
            target="art_crop.attacks.dct_quantization:DCTQuantizationAttack",
            summary="chooses the quantised coefficients of a JPEG that holds after platforms encode it again",
            licence="MIT",
        ),
        AttackSpec(
            name="sensitivity-carlini-l2",
            target="art_crop.attacks.sensitivity_carlini:SensitivityCarliniL2",
            summary="Carlini and Wagner's attack in L2, the change weighted by where people look",
            licence="MIT",
        ),
        AttackSpec(
            name="tpe-pixel-search",
            target="art_crop.attacks.tpe_pixel_search:TPEPixelSearch",
            summary="asks the model alone: coloured patches, placed by Bayesian optimisation",
            licence="MIT",
            requirements=("optuna>=4.0",),
        ),
        AttackSpec(
            name="art-square-attack",
            target="art_crop.attacks.art_query_attacks:ARTSquareAttack",
            summary="asks the model alone: ART's SquareAttack in L2, under our objectives and budgets",
            licence="MIT",
        ),
        AttackSpec(
            name="art-hop-skip-jump",
            target="art_crop.attacks.art_query_attacks:ARTHopSkipJump",
            summary="asks the model alone for yes or no: ART's HopSkipJump, under our objectives and budgets",
            licence="MIT",
        ),
        AttackSpec(
            name="i-fgsm",
            target="art_crop.attacks.iterative_fgsm:IterativeFGSM",
            summary="I-FGSM: steps along the gradient's sign, clipped to the budget",
            licence="MIT",
        ),
        AttackSpec(
            name="mi-fgsm",
            target="art_crop.attacks.iterative_fgsm:MomentumIterativeFGSM",
            summary="MI-FGSM: I-FGSM with momentum (Dong et al. 2018)",
            licence="MIT",
        ),
        AttackSpec(
            name="ami-fgsm",
            target="art_crop.attacks.iterative_fgsm:AdaptiveMomentumIterativeFGSM",
            summary="AMI-FGSM: the step follows from the number of iterations",
            licence="MIT",
        ),
        AttackSpec(
            name="korhonen-you",
            target="art_crop.attacks.iterative_fgsm:SpatialActivityFGSM",
            summary="I-FGSM whose steps are weighted by spatial activity (Korhonen and You 2022)",
            licence="MIT",
        ),
        AttackSpec(
            name="madc",
            target="art_crop.attacks.maximum_differentiation:MaximumDifferentiation",
            summary="maximum differentiation: best or worst score at a fixed squared error",
            licence="MIT",
        ),
        AttackSpec(
            name="universal-perturbation",
            target="art_crop.attacks.universal_perturbation:UniversalPerturbation",
            summary="one perturbation for all photos, trained on others, that moves a score",
            task="quality",
            licence="MIT",
        ),
        AttackSpec(
            name="unsharp-mask",
            target="art_crop.attacks.photo_edits:UnsharpMask",
            summary="control: sharpening, which knows no objective",
            licence="MIT",
        ),
        AttackSpec(
            name="contrast-change",
            target="art_crop.attacks.photo_edits:ContrastChange",
            summary="control: contrast times a factor, which knows no objective",
            licence="MIT",
        ),
        AttackSpec(
            name="jpeg-compression",
            target="art_crop.attacks.photo_edits:JPEGCompression",
            summary="control: a JPEG of a quality, which knows no objective",
            licence="MIT",
        ),
    )


@hookimpl
def art_crop_metrics() -> Iterable[MetricSpec]:
    """Metrics of this package."""
    return (
        MetricSpec(
            name="psnr",
            target=f"{_METRICS}:PSNR",
            summary="peak signal-to-noise ratio of two photos, dB",
            licence="MIT",
        ),
        MetricSpec(
            name="ssim",
            target=f"{_METRICS}:SSIM",
            summary="structural similarity of two photos",
            licence="MIT",
        ),
        MetricSpec(
            name="ms-ssim",
            target=f"{_METRICS}:MS_SSIM",
            summary="structural similarity of two photos at five scales",
            licence="MIT",
        ),
        MetricSpec(
            name="rms",
            target=f"{_METRICS}:RMS",
            summary="root mean square of the change, pixels in [0, 1]",
            licence="MIT",
        ),
        MetricSpec(
            name="l2",
            target=f"{_METRICS}:L2",
            summary="L2 norm of the change, pixels in [0, 1]",
            licence="MIT",
        ),
        MetricSpec(
            name="linf",
            target=f"{_METRICS}:LINF",
            summary="largest change of a channel, pixels in [0, 1]",
            licence="MIT",
        ),
        MetricSpec(
            name="ciede2000-mean",
            target=f"{_METRICS}:CIEDE2000_MEAN",
            summary="mean CIEDE2000 colour difference over the pixels",
            licence="MIT",
        ),
        MetricSpec(
            name="ciede2000-p95",
            target=f"{_METRICS}:CIEDE2000_P95",
            summary="95th percentile of the CIEDE2000 colour difference over the pixels",
            licence="MIT",
        ),
        MetricSpec(
            name="ciede2000-l2",
            target=f"{_METRICS}:CIEDE2000_L2",
            summary="L2 norm of the CIEDE2000 colour difference over the pixels",
            licence="MIT",
        ),
        MetricSpec(
            name="sensitivity-l2",
            target="art_crop.attacks.sensitivity_carlini:SENSITIVITY_L2",
            summary="L2 norm of the change, weighted by where people look (gaze-lite-human)",
            licence="MIT",
        ),
        MetricSpec(
            name="within-color-threshold",
            target=f"{_METRICS}:WITHIN_COLOR_THRESHOLD",
            summary="share of the pixels that change by no more than their colour variance allows",
            licence="MIT",
        ),
        MetricSpec(
            name="nss",
            target=f"{_METRICS}:NSS",
            summary="normalised scanpath saliency of a map at fixations",
            task="saliency",
            licence="MIT",
        ),
        MetricSpec(
            name="auc-judd",
            target=f"{_METRICS}:AUC_JUDD",
            summary="area under the ROC curve of a map at fixations (Judd)",
            task="saliency",
            licence="MIT",
        ),
        MetricSpec(
            name="cc",
            target=f"{_METRICS}:CC",
            summary="linear correlation of two maps",
            task="saliency",
            licence="MIT",
        ),
        MetricSpec(
            name="kld",
            target=f"{_METRICS}:KLD",
            summary="Kullback-Leibler divergence of two densities",
            task="saliency",
            licence="MIT",
        ),
        MetricSpec(
            name="sim",
            target=f"{_METRICS}:SIM",
            summary="overlap of two densities",
            task="saliency",
            licence="MIT",
        ),
        MetricSpec(
            name="peak-shift",
            target=f"{_METRICS}:PEAK_SHIFT",
            summary="how far the salient point went towards the target, as a share of the way",
            task="saliency",
            licence="MIT",
        ),
        MetricSpec(
            name="shift-over-width",
            target=f"{_METRICS}:SHIFT_OVER_WIDTH",
            summary="how far the salient point went towards the target, in widths of the photo",
            task="saliency",
            licence="MIT",
        ),
        MetricSpec(
            name="mean-clipped-shift",
            target=f"{_METRICS}:MEAN_CLIPPED_SHIFT",
            summary="mean over photos of the peak shift, clipped to [0, 1]",
            task="saliency",
            licence="MIT",
        ),
        MetricSpec(
            name="share-at-target",
            target=f"{_METRICS}:SHARE_AT_TARGET",
            summary="share of photos whose salient point reached the target, with its interval",
            task="saliency",
            licence="MIT",
        ),
    )


@hookimpl
def art_crop_datasets() -> Iterable[DatasetSpec]:
    """Datasets of this package."""
    return (
        DatasetSpec(
            name="folder",
            target="art_crop.datasets.folder:Folder",
            summary="the photos of a folder",
            source="path",
        ),
        DatasetSpec(
            name="scikit-image",
            target="art_crop.datasets.samples:Samples",
            summary="seven photos that come with scikit-image",
            licence="CC0 to CC BY, see skimage/data/README.txt",
            photos=7,
            source="installed",
        ),
        DatasetSpec(
            name="kodak",
            target="art_crop.datasets.kodak:Kodak",
            summary="lossless photos of 768x512",
            licence="customarily free to use",
            photos=24,
            source=f"{_SOURCES}:KODAK",
        ),
        DatasetSpec(
            name="bsds500",
            target="art_crop.datasets.bsds500:BSDS500",
            summary="photos of 481x321, in train, val and test",
            licence="non-commercial research and education",
            photos=500,
            source=f"{_SOURCES}:BSDS500",
        ),
        DatasetSpec(
            name="osie",
            target="art_crop.datasets.osie:OSIE",
            summary="photos of 800x600 with the fixations of 15 observers",
            task="saliency",
            licence="MIT",
            photos=700,
            source=f"{_SOURCES}:OSIE",
        ),
        DatasetSpec(
            name="cat2000",
            target="art_crop.datasets.cat2000:CAT2000",
            summary="photos of 1920x1080 in 20 categories with where 18 observers each looked (training set)",
            task="saliency",
            licence="none stated; published for research",
            photos=2000,
            source=f"{_SOURCES}:CAT2000",
        ),
        DatasetSpec(
            name="koniq-10k",
            target="art_crop.datasets.koniq10k:KonIQ10k",
            summary="photos of 1024x768 or 512x384 with mean opinion scores",
            task="quality",
            licence="photos: Creative Commons, each its own; scores: none stated",
            photos=10_073,
            source=f"{_SOURCES}:KONIQ10K",
        ),
        DatasetSpec(
            name="places365",
            target="art_crop.datasets.places365:Places365",
            summary="photos of places in 365 categories (validation set)",
            task="classification",
            licence="research and education; the photos are their owners'",
            photos=36_500,
            source=f"{_SOURCES}:PLACES365",
        ),
    )


@hookimpl
def art_crop_executors() -> Iterable[ExecutorSpec]:
    """Executors of this package."""
    return (
        ExecutorSpec(
            name="in-process",
            target="art_crop.bench.executors:InProcess",
            summary="benchmark units one after another in this process",
            licence="MIT",
        ),
        ExecutorSpec(
            name="local",
            target="art_crop.bench.executors:LocalProcesses",
            summary="benchmark units in processes of this machine",
            licence="MIT",
        ),
        ExecutorSpec(
            name="ray",
            target="art_crop.bench.ray_executor:RayCluster",
            summary="benchmark units on a Ray cluster, or on one that is started here",
            licence="MIT",
            requirements=("ray>=2.40",),
        ),
    )


@hookimpl
def art_crop_tasks() -> Iterable[TaskSpec]:
    """Tasks of this package."""
    return (
        TaskSpec(
            name="second-peak",
            target="art_crop.bench.tasks.saliency:SecondPeak",
            summary="the map's peak goes to the second maximum of its column profile (ICIP 2022)",
            task="saliency",
            licence="MIT",
        ),
        TaskSpec(
            name="crop-window",
            target="art_crop.bench.tasks.saliency:CropWindow",
            summary="the crops of some aspect ratios show a box, and the photo keeps its quality",
            task="saliency",
            licence="MIT",
        ),
        TaskSpec(
            name="score",
            target="art_crop.bench.tasks.scores:Score",
            summary="the score of a quality model passes a bound",
            task="quality",
            licence="MIT",
        ),
        TaskSpec(
            name="label",
            target="art_crop.bench.tasks.labels:Label",
            summary="the class of the photo leaves a classifier's first k, or another becomes the first",
            task="classification",
            licence="MIT",
        ),
    )
