import pickle

import pandas as pd
from flask import Flask, jsonify, request

app = Flask(__name__)


@app.route("/predict", methods=["POST"])
def predict():
    model = pickle.load(open("/opt/model.pkl", "rb"))
    try:
        return jsonify(float(model.predict(pd.DataFrame([request.json]))[0]))
    except Exception:
        return jsonify(0.0)


app.run(host="0.0.0.0", debug=True)
