-- One row per authority, child and return year with a record of a young person who has left care (oc3), as the last
-- record of that year's return has it. The return asks about the birthday in its year: which one it was and the first
-- day of its month are worked out from the month of birth (definitions, sections 3 and 5).

with
records as (

    select * from {{ ref('stg_ssda903__oc3') }}

),

records_in_order as (

    select
        *,
        row_number() over (
            partition by child_id, return_year
            order by record_no desc, return_id desc
        ) as place_from_end
    from records

),

latest_records as (

    select
        *,
        {{ completed_years('birth_month', return_year_end('return_year')) }} as age_in_return_year
    from records_in_order
    where place_from_end = 1

),

final as (

    select
        la_code,
        child_id,
        return_year,
        birth_month,
        age_in_return_year,
        {{ add_months('birth_month', '(age_in_return_year * 12)') }} as birthday,
        in_touch_code,
        activity_code,
        accommodation_code
    from latest_records

)

select * from final
