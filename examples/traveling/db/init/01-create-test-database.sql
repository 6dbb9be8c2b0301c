-- Run once, when the volume is new.
CREATE DATABASE traveling_rails_poc_test;
