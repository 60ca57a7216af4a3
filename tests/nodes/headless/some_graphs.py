"""Graphs that the tests run."""


def node(class_type, **inputs):
    return {"class_type": class_type, "inputs": inputs}


def copying(image="content.png", prefix="copy"):
    return {
        "1": node("LoadImage", image=image),
        "2": node("SaveImage", images=["1", 0], filename_prefix=prefix),
    }


def stylising(**inputs):
    return {
        "vgg": node("LoadVGGFeatures", weights="vgg19-caffe", pooling="recipe", padding="recipe", precision="fp32"),
        "content": node("LoadImage", image="content.png"),
        "style": node("LoadImage", image="style.png"),
        "grams": node("ComputeStyleGrams", vgg=["vgg", 0], style_image=["style", 0], weight=1.0, size=0),
        "transfer": node(
            "NeuralStyleTransfer",
            **{
                "vgg": ["vgg", 0],
                "content_image": ["content", 0],
                "style_grams": ["grams", 0],
                "recipe": "balanced",
                "steps": 2,
                "preview_every": 1,
                **inputs,
            },
        ),
        "save": node("SaveImage", images=["transfer", 0], filename_prefix="nst/result"),
    }
