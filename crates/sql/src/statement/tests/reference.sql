CREATE TRIGGER orders_realtime_trigger ON orders FOR INSERT, UPDATE, DELETE AS BEGIN
  IF TRIGGER_ACTION = 'INSERT' AND NEW.status = 'pending' THEN
    INSERT INTO order_processing_queue (order_id, priority, created_at) VALUES (NEW.order_id, 'high', CURRENT_TIMESTAMP);
    UPDATE inventory SET reserved_quantity = reserved_quantity + oi.quantity FROM order_items oi WHERE inventory.product_id = oi.product_id AND oi.order_id = NEW.order_id;
  ELSIF TRIGGER_ACTION = 'UPDATE' AND OLD.status != NEW.status THEN
    INSERT INTO order_status_history (order_id, old_status, new_status, changed_at) VALUES (NEW.order_id, OLD.status, NEW.status, CURRENT_TIMESTAMP);
    IF NEW.status = 'shipped' THEN
      UPDATE orders SET tracking_number = GENERATE_TRACKING_NUMBER() WHERE order_id = NEW.order_id;
      CALL NOTIFY_CUSTOMER(NEW.customer_id, 'order_shipped', NEW.order_id);
    END IF;
  ELSIF TRIGGER_ACTION = 'DELETE' THEN
    UPDATE inventory SET reserved_quantity = reserved_quantity - oi.quantity FROM order_items oi WHERE inventory.product_id = oi.product_id AND oi.order_id = OLD.order_id;
  END IF;
END;

CREATE MATERIALIZED VIEW sales_dashboard_realtime AS
SELECT DATE_TRUNC('hour', created_at) AS hour_bucket, COUNT(*) AS orders_count, SUM(total_amount) AS revenue, AVG(total_amount) AS avg_order_value, COUNT(DISTINCT customer_id) AS unique_customers,
  SUM(total_amount) OVER (ORDER BY DATE_TRUNC('hour', created_at) ROWS BETWEEN 23 PRECEDING AND CURRENT ROW) AS rolling_24h_revenue
FROM orders WHERE status = 'completed' AND created_at >= CURRENT_TIMESTAMP - INTERVAL '7 days' GROUP BY hour_bucket ORDER BY hour_bucket DESC;

WITH order_changes AS (SELECT order_id, status, total_amount, customer_id, CHANGE_TYPE() AS operation, CHANGE_TIMESTAMP() AS changed_at FROM orders WHERE CHANGE_DETECTED()),
inventory_changes AS (SELECT product_id, quantity, reserved_quantity, CHANGE_TYPE() AS operation, CHANGE_TIMESTAMP() AS changed_at FROM inventory
  WHERE CHANGE_DETECTED() AND (quantity < reorder_threshold OR reserved_quantity > available_quantity))
SELECT CASE WHEN oc.operation = 'INSERT' AND oc.status = 'pending' THEN 'process_new_order' WHEN oc.operation = 'UPDATE' AND oc.status = 'shipped' THEN 'send_shipping_notification'
    WHEN ic.operation = 'UPDATE' AND ic.quantity = 0 THEN 'handle_out_of_stock' ELSE 'no_action' END AS action_required,
  COALESCE(oc.order_id, ic.product_id) AS entity_id, COALESCE(oc.changed_at, ic.changed_at) AS event_timestamp
FROM order_changes oc FULL OUTER JOIN inventory_changes ic ON oc.changed_at BETWEEN ic.changed_at - INTERVAL '1 minute' AND ic.changed_at + INTERVAL '1 minute'
WHERE action_required != 'no_action';

CREATE OR REPLACE VIEW user_activity_stream AS
SELECT user_id, activity_type, activity_timestamp, session_id,
  EXTRACT(EPOCH FROM (activity_timestamp - LAG(activity_timestamp) OVER (PARTITION BY session_id ORDER BY activity_timestamp))) / 60.0 AS minutes_since_last_activity,
  CASE WHEN activity_type = 'login' THEN 10 WHEN activity_type = 'purchase' THEN 50 WHEN activity_type = 'view_product' THEN 2 WHEN activity_type = 'add_to_cart' THEN 15 ELSE 1 END AS engagement_score,
  COUNT(*) OVER (PARTITION BY session_id ORDER BY activity_timestamp ROWS UNBOUNDED PRECEDING) AS activities_in_session
FROM user_activities WHERE CHANGE_DETECTED() AND activity_timestamp >= CURRENT_TIMESTAMP - INTERVAL '24 hours';

SELECT product_id, product_name, current_quantity, reorder_threshold,
  (reserved_quantity - LAG(reserved_quantity, 1) OVER (PARTITION BY product_id ORDER BY CHANGE_TIMESTAMP())) AS quantity_change,
  CASE WHEN quantity_change > 0 THEN ROUND(current_quantity / (quantity_change * 1.0), 1) ELSE NULL END AS estimated_hours_until_stockout,
  CASE WHEN current_quantity = 0 THEN 'CRITICAL' WHEN current_quantity <= reorder_threshold * 0.2 THEN 'HIGH' WHEN current_quantity <= reorder_threshold * 0.5 THEN 'MEDIUM'
    WHEN estimated_hours_until_stockout <= 24 THEN 'URGENT' ELSE 'NORMAL' END AS alert_level
FROM inventory i JOIN products p ON i.product_id = p.product_id
WHERE CHANGE_DETECTED() AND (current_quantity <= reorder_threshold OR estimated_hours_until_stockout <= 48) ORDER BY alert_level DESC, estimated_hours_until_stockout ASC;

WITH payment_patterns AS (SELECT customer_id, payment_amount, payment_method, ip_address, CHANGE_TIMESTAMP() AS payment_time,
    COUNT(*) OVER (PARTITION BY customer_id ORDER BY CHANGE_TIMESTAMP() RANGE BETWEEN INTERVAL '1 hour' PRECEDING AND CURRENT ROW) AS payments_last_hour,
    AVG(payment_amount) OVER (PARTITION BY customer_id ORDER BY CHANGE_TIMESTAMP() ROWS BETWEEN 10 PRECEDING AND 1 PRECEDING) AS avg_payment_amount_10_orders,
    LAG(ip_address) OVER (PARTITION BY customer_id ORDER BY CHANGE_TIMESTAMP()) AS previous_ip_address
  FROM payments WHERE CHANGE_DETECTED() AND CHANGE_TYPE() = 'INSERT')
SELECT customer_id, payment_amount, payment_time,
  CASE WHEN payments_last_hour >= 5 THEN 'HIGH_VELOCITY' WHEN payment_amount > avg_payment_amount_10_orders * 3 THEN 'UNUSUAL_AMOUNT' WHEN ip_address != previous_ip_address THEN 'IP_CHANGE' ELSE 'NORMAL' END AS fraud_indicator,
  (CASE WHEN payments_last_hour >= 5 THEN 30 ELSE 0 END + CASE WHEN payment_amount > avg_payment_amount_10_orders * 3 THEN 25 ELSE 0 END + CASE WHEN ip_address != previous_ip_address THEN 15 ELSE 0 END) AS fraud_risk_score
FROM payment_patterns WHERE fraud_risk_score > 20 ORDER BY fraud_risk_score DESC, payment_time DESC;
