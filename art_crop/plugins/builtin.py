"""What ships with art_crop: one record per model, attack, metric and dataset. Nothing named here is imported here."""

from __future__ import annotations

from art_crop.plugins.specs import PluginSpec

_ESTIMATORS = "art_crop.estimators.builtin"
_METRICS = "art_crop.metrics"

BUILTIN: tuple[PluginSpec, ...] = (
    PluginSpec(
        kind="model",
        name="gaze-lite",
        target=f"{_ESTIMATORS}:gaze_lite",
        summary="embedded surrogate of the FastGaze cropper",
        task="saliency",
    ),
    PluginSpec(
        kind="model",
        name="gaze-lite-human",
        target=f"{_ESTIMATORS}:gaze_lite_human",
        summary="embedded predictor of where people look",
        task="saliency",
    ),
    PluginSpec(
        kind="model",
        name="fastgaze",
        target=f"{_ESTIMATORS}:fastgaze",
        summary="the deployed social-media cropper, exactly; weights are fetched once or given as weights=path",
        licence="Apache-2.0",
        task="saliency",
    ),
    PluginSpec(
        kind="attack",
        name="saliency-peak-fgm",
        target="art_crop.attacks.saliency_peak:SaliencyPeakFGM",
        summary="gradient attack that moves the salient point or the crop to a region of choice",
        task="saliency",
    ),
    PluginSpec(
        kind="attack",
        name="gaussian-noise",
        target="art_crop.attacks.gaussian_noise:GaussianNoise",
        summary="baseline: Gaussian noise of a given norm, optionally inside a mask",
    ),
    PluginSpec(
        kind="metric", name="psnr", target=f"{_METRICS}:PSNR", summary="peak signal-to-noise ratio of two photos, dB"
    ),
    PluginSpec(kind="metric", name="ssim", target=f"{_METRICS}:SSIM", summary="structural similarity of two photos"),
    PluginSpec(kind="metric", name="l2", target=f"{_METRICS}:L2", summary="L2 norm of the change, pixels in [0, 1]"),
    PluginSpec(
        kind="metric", name="linf", target=f"{_METRICS}:LINF", summary="largest change of a channel, pixels in [0, 1]"
    ),
    PluginSpec(
        kind="metric",
        name="ciede2000-mean",
        target=f"{_METRICS}:CIEDE2000_MEAN",
        summary="mean CIEDE2000 colour difference over the pixels",
    ),
    PluginSpec(
        kind="metric",
        name="ciede2000-p95",
        target=f"{_METRICS}:CIEDE2000_P95",
        summary="95th percentile of the CIEDE2000 colour difference over the pixels",
    ),
    PluginSpec(
        kind="metric",
        name="nss",
        target=f"{_METRICS}:NSS",
        summary="normalised scanpath saliency of a map at fixations",
        task="saliency",
    ),
    PluginSpec(
        kind="metric",
        name="auc-judd",
        target=f"{_METRICS}:AUC_JUDD",
        summary="area under the ROC curve of a map at fixations (Judd)",
        task="saliency",
    ),
    PluginSpec(
        kind="metric", name="cc", target=f"{_METRICS}:CC", summary="linear correlation of two maps", task="saliency"
    ),
    PluginSpec(
        kind="metric",
        name="kld",
        target=f"{_METRICS}:KLD",
        summary="Kullback-Leibler divergence of two densities",
        task="saliency",
    ),
    PluginSpec(
        kind="metric", name="sim", target=f"{_METRICS}:SIM", summary="overlap of two densities", task="saliency"
    ),
    PluginSpec(
        kind="metric",
        name="peak-shift",
        target=f"{_METRICS}:PEAK_SHIFT",
        summary="how far the salient point went towards the target, as a share of the way",
        task="saliency",
    ),
    PluginSpec(
        kind="metric",
        name="shift-over-width",
        target=f"{_METRICS}:SHIFT_OVER_WIDTH",
        summary="how far the salient point went towards the target, in widths of the photo",
        task="saliency",
    ),
    PluginSpec(
        kind="metric",
        name="mean-clipped-shift",
        target=f"{_METRICS}:MEAN_CLIPPED_SHIFT",
        summary="mean over photos of the peak shift, clipped to [0, 1]",
        task="saliency",
    ),
    PluginSpec(
        kind="metric",
        name="share-at-target",
        target=f"{_METRICS}:SHARE_AT_TARGET",
        summary="share of photos whose salient point reached the target, with its interval",
        task="saliency",
    ),
    PluginSpec(
        kind="dataset",
        name="osie",
        target="art_crop.datasets.osie:OSIE",
        summary="700 photos of 800x600 with the fixations of 15 observers",
        task="saliency",
    ),
    PluginSpec(
        kind="dataset",
        name="folder",
        target="art_crop.datasets.folder:Folder",
        summary="the photos of a folder",
    ),
)
