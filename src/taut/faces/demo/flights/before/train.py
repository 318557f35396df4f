import pickle

import pandas as pd
from sklearn.ensemble import HistGradientBoostingClassifier

df = pd.read_csv("/home/sam/Downloads/flights_final2.csv")
X = pd.get_dummies(df[["carrier", "origin", "dest", "distance", "temp"]])
y = df["arr_delay"] >= 15

model = HistGradientBoostingClassifier(max_iter=60)
model.fit(X, y)
print("accuracy", model.score(X, y))

pickle.dump(model, open("model.pkl", "wb"))
